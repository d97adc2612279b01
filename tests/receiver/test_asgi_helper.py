"""The ASGI endpoint under a real server on a real socket, and its body reader fed by hand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.signature import new_secret
from offhook.receiver import BodyTooLargeError, Event, MalformedBodyError, Verifier
from offhook.receiver.asgi import WebhookEndpoint, receive_event

from .signing import CALL, EVENT_ID, body_of, signed_headers

SECRET = new_secret()


class Receiver:
    """What arrived, and whether the work on it shall fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fails = False
        self.uri = ""

    async def on_event(self, event: Event) -> None:
        if self.fails:
            raise RuntimeError("the work failed")
        self.events.append(event)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    endpoint = WebhookEndpoint(receiver.on_event, SECRET, max_body_bytes=500)
    server = uvicorn.Server(uvicorn.Config(endpoint, host="127.0.0.1", port=0, log_level="critical", lifespan="on"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            assert not serving.done(), "the server did not start"
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    receiver.uri = f"http://127.0.0.1:{port}/voipbin/webhook"
    yield receiver
    server.should_exit = True
    await asyncio.wait_for(serving, 10)


async def send(receiver: Receiver, body: bytes, headers: dict[str, str], method: str = "POST") -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, receiver.uri, data=body, headers=headers) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if answer.content_type == "application/json" else text


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
async def test_a_signed_webhook_reaches_the_program(receiver: Receiver, method: str) -> None:
    body = body_of()
    headers = signed_headers(SECRET, body, at=datetime.now(UTC), offhook_attempt="2")
    assert await send(receiver, body, headers, method) == (200, {"status": "received"})
    [event] = receiver.events
    assert (event.id, event.data, event.attempt) == (EVENT_ID, CALL["data"], 2)


async def test_unsigned_and_forged_ones_are_answered_400(receiver: Receiver) -> None:
    body = body_of()
    status, answer = await send(receiver, body, {})
    assert (status, answer["reason"]) == (400, "MISSING_HEADER")
    status, answer = await send(receiver, body, signed_headers(new_secret(), body, at=datetime.now(UTC)))
    assert (status, answer["reason"]) == (400, "BAD_SIGNATURE")
    assert not receiver.events


async def test_a_body_over_the_limit_is_answered_413(receiver: Receiver) -> None:
    body = body_of({"type": "a", "data": {"text": "x" * 500}})
    status, answer = await send(receiver, body, signed_headers(SECRET, body, at=datetime.now(UTC)))
    assert (status, answer["reason"]) == (413, "BODY_TOO_LARGE")


async def test_failed_work_is_answered_500_so_that_it_is_sent_again(receiver: Receiver) -> None:
    body = body_of()
    receiver.fails = True
    assert (await send(receiver, body, signed_headers(SECRET, body, at=datetime.now(UTC))))[0] == 500
    receiver.fails = False
    assert (await send(receiver, body, signed_headers(SECRET, body, at=datetime.now(UTC))))[0] == 200


def receive_in(chunks: list[bytes], *, then_leave: bool = False) -> Any:
    messages = [
        {"type": "http.request", "body": chunk, "more_body": then_leave or place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]
    if then_leave:
        messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return receive


def scope_of(body: bytes) -> dict[str, Any]:
    headers = signed_headers(SECRET, body, at=datetime.now(UTC))
    return {"type": "http", "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()]}


@given(cuts=st.lists(st.integers(0, 60), max_size=6))
def test_a_body_in_any_pieces_is_the_same_body(cuts: list[int]) -> None:
    body = body_of()
    places = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(places)]
    event = asyncio.run(receive_event(scope_of(body), receive_in(chunks), Verifier(SECRET)))
    assert event.data == CALL["data"]


async def test_reading_stops_at_the_limit() -> None:
    receive = receive_in([b"x" * 100] * 1_000)
    with pytest.raises(BodyTooLargeError):
        await receive_event(scope_of(b""), receive, Verifier(SECRET), max_body_bytes=250)
    assert (await receive())["more_body"], "the rest was left where it was"


async def test_a_client_that_leaves_in_the_middle_is_named() -> None:
    body = body_of()
    with pytest.raises(MalformedBodyError, match="left"):
        await receive_event(scope_of(body), receive_in([body[:10]], then_leave=True), Verifier(SECRET))


async def test_a_websocket_is_no_webhook() -> None:
    with pytest.raises(ValueError, match="websocket"):
        await WebhookEndpoint(Receiver().on_event, SECRET)({"type": "websocket"}, receive_in([]), receive_in([]))
