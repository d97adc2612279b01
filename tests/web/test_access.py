"""Who gets in, where a credential may be, and that nobody sees another customer's things."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer, wait_until
from tests.web.conftest import Person


def raw(server: OffhookServer, path: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


@pytest.mark.parametrize("kind", ["token", "access key"])
@pytest.mark.parametrize("place", ["bearer", "?token", "?accesskey", "cookie token", "cookie accesskey"])
def test_either_credential_works_in_any_place(server: OffhookServer, person: Person, kind: str, place: str) -> None:
    credential = person.token
    if kind == "access key":
        status, made = person.request("POST", "/v1.0/accesskeys", {"name": "mine"})
        assert status == 200
        credential = made["token"]
    path, headers = "/v1.0/customer", {}
    match place:
        case "bearer":
            headers["Authorization"] = f"Bearer {credential}"
        case "?token" | "?accesskey":
            path += f"{place}={quote(credential)}"
        case _:
            headers["Cookie"] = f"other=1; {place.split()[1]}={credential}"
    status, customer = raw(server, path, **headers)
    assert (status, customer["id"]) == (200, person.customer["id"])
    assert raw(server, path.replace("customer", "me"), **headers)[0] == 200


def test_without_a_credential_or_with_a_wrong_one_it_is_a_401(server: OffhookServer) -> None:
    assert raw(server, "/v1.0/customer")[1]["error"]["reason"] == "AUTHENTICATION_REQUIRED"
    for wrong in ("nonsense", "vb_" + "x" * 32, jwt.encode({"sub": "x", "exp": 9e9, "iat": 1, "ver": 0}, "k" * 32)):
        status, answer = raw(server, "/v1.0/customer", Authorization=f"Bearer {wrong}")
        assert (status, answer["error"]["reason"]) == (401, "INVALID_CREDENTIALS")


def test_a_deleted_key_and_an_old_password_are_refused_at_once(server: OffhookServer, person: Person) -> None:
    _, made = person.request("POST", "/v1.0/accesskeys", {"name": "short lived"})
    assert server.request("GET", "/v1.0/customer", token=made["token"])[0] == 200
    assert person.request("DELETE", f"/v1.0/accesskeys/{made['id']}")[0] == 200
    assert server.request("GET", "/v1.0/customer", token=made["token"])[0] == 401
    assert person.request("DELETE", f"/v1.0/accesskeys/{made['id']}")[0] == 409
    _, me = person.request("GET", "/v1.0/me")
    old = person.token
    person.password = "another password"
    assert person.request("PUT", f"/v1.0/agents/{me['id']}/password", {"password": person.password})[0] == 200
    assert server.request("GET", "/v1.0/customer", token=old)[0] == 401
    assert server.request("GET", "/v1.0/customer", token=person.log_in())[0] == 200


def test_a_deleted_customer_says_when(server: OffhookServer, person: Person) -> None:
    deleted = server.ask("DELETE", f"/v1.0/customers/{person.customer['id']}")
    assert deleted["status"] == "deleted"
    assert deleted["tm_delete"] == deleted["tm_update"]
    assert deleted["tm_delete"] > deleted["tm_create"]
    assert deleted["webhook_disabled_reason"] == ""


def test_the_webhook_secret_is_shown_to_its_own_customer_only(server: OffhookServer, person: Person) -> None:
    own = person.request("GET", "/v1.0/customer")[1]
    assert own["webhook_secret"].startswith("whsec_")
    assert server.ask("GET", "/v1.0/customer")["webhook_secret"]
    customer_id = own["id"]
    seen = [
        person.customer,
        server.ask("GET", f"/v1.0/customer?customer_id={customer_id}"),
        server.ask("GET", f"/v1.0/customers/{customer_id}"),
        server.ask("POST", f"/v1.0/customer/webhook_secret/rotate?customer_id={customer_id}"),
    ]
    assert ["webhook_secret" in shown for shown in seen] == [False] * 4
    assert person.request("GET", "/v1.0/customer")[1]["webhook_secret"] != own["webhook_secret"]
    assert person.request("POST", "/v1.0/customer/webhook_secret/rotate")[1]["webhook_secret"]


def test_the_secret_of_a_key_is_shown_once(person: Person) -> None:
    _, made = person.request("POST", "/v1.0/accesskeys", {"name": "ci", "expire": 10**12})
    token = made["token"]
    assert (len(token), token[:3], token[:11]) == (35, "vb_", made["token_prefix"])
    assert made["tm_expire"].startswith("9999-")
    for path in ("/v1.0/accesskeys", f"/v1.0/accesskeys/{made['id']}"):
        assert token not in json.dumps(person.request("GET", path)[1])


def test_another_customers_things_are_not_there(server: OffhookServer, person: Person) -> None:
    other = Person(server)
    _, key = other.request("POST", "/v1.0/accesskeys", {"name": "theirs"})
    _, me = other.request("GET", "/v1.0/me")
    _, published = other.request("POST", "/v1.0/events", {"type": "theirs", "data": {}})
    event = published["ids"][0]
    for method, path in (
        ("GET", f"/v1.0/accesskeys/{key['id']}"),
        ("PUT", f"/v1.0/accesskeys/{key['id']}"),
        ("DELETE", f"/v1.0/accesskeys/{key['id']}"),
        ("GET", f"/v1.0/agents/{me['id']}"),
        ("DELETE", f"/v1.0/agents/{me['id']}"),
        ("GET", f"/v1.0/events/{event}"),
        ("GET", f"/v1.0/events/{event}/attempts"),
        ("POST", f"/v1.0/events/{event}/resend"),
        ("GET", f"/v1.0/events?customer_id={other.customer['id']}"),
        ("GET", f"/v1.0/customer?customer_id={other.customer['id']}"),
    ):
        status, answer = person.request(method, path, {} if method == "PUT" else None)
        assert status == 404, (method, path, answer)
    assert person.request("GET", "/v1.0/events")[1]["result"] == []
    assert person.request("GET", "/v1.0/customers")[0] == 403


def test_an_operator_acts_for_a_customer(server: OffhookServer, person: Person) -> None:
    ids = server.ask("POST", f"/v1.0/events?customer_id={person.customer['id']}", {"type": "x", "data": {}})["ids"]
    assert [event["id"] for event in person.request("GET", "/v1.0/events")[1]["result"]] == ids
    found = server.ask("GET", f"/v1.0/events?customer_id={person.customer['id']}")["result"]
    assert [event["id"] for event in found] == ids


def test_a_frozen_customer_may_do_nothing_until_it_is_recovered(
    server: OffhookServer, person: Person, receiver: Receiver
) -> None:
    customer = f"/v1.0/customers/{person.customer['id']}"
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    assert server.ask("POST", f"{customer}/freeze")["status"] == "frozen"
    status, answer = person.request("GET", "/v1.0/customer")
    assert (status, answer["error"]["reason"]) == (403, "ACCOUNT_FROZEN")
    server.ask("POST", f"/v1.0/events?customer_id={person.customer['id']}", {"type": "held", "data": {}})
    held = server.ask("GET", f"/v1.0/deliveries?customer_id={person.customer['id']}&status=held")["result"]
    assert [row["held_reason"] for row in held] == ["frozen"]
    assert server.request("POST", f"{customer}/freeze")[0] == 409
    assert server.ask("POST", f"{customer}/recover")["status"] == "active"
    wait_until(receiver.snapshot, "what was held is sent")
    server.ask("DELETE", customer)
    assert person.request("GET", "/v1.0/customer")[0] == 401
    assert (
        server.request("POST", "/v1.0/customers", {"username": person.username, "password": person.password})[0] == 200
    )


def test_nobody_gives_a_permission_that_they_do_not_have(server: OffhookServer, person: Person) -> None:
    body = {"username": f"x{time.time_ns()}", "password": "long enough", "permission": 65535}
    assert person.request("POST", "/v1.0/agents", body)[0] == 403
    status, agent = person.request("POST", "/v1.0/agents", {**body, "permission": 16})
    assert status == 201
    status, answer = server.request("POST", "/auth/login", {"username": body["username"], "password": "long enough"})
    assert status == 200
    for method, path in (("GET", "/v1.0/customer"), ("PUT", "/v1.0/customer"), ("POST", "/v1.0/events")):
        assert server.request(method, path, {}, token=answer["token"])[0] == 403, path
    assert person.request("DELETE", f"/v1.0/agents/{agent['id']}")[0] == 200


@pytest.mark.parametrize(("password", "refusal"), [("b", 400), ("b" * 140_000, 413)], ids=["small", "too large"])
def test_log_ins_are_rate_limited(tmp_path: Path, password: str, refusal: int) -> None:
    server = OffhookServer(
        tmp_path / "data", "--no-switch", OFFHOOK_LIMITS__AUTH_PER_SECOND="0.1", OFFHOOK_LIMITS__AUTH_BURST="3"
    )
    server.start()
    statuses = [server.request("POST", "/auth/login", {"username": "a", "password": password})[0] for _ in range(5)]
    server.kill()
    assert statuses == [refusal] * 3 + [429] * 2


@pytest.mark.parametrize("way", ["id", "key"])
def test_a_repeated_publish_adds_nothing_also_in_parallel(server: OffhookServer, person: Person, way: str) -> None:
    body: dict[str, Any] = {"type": "paid", "subject": "order/1", "data": {"n": 1}}
    headers = {}
    if way == "id":
        body["id"] = "mine-1"
    else:
        headers["Idempotency-Key"] = "request 1".replace(" ", "-")
    answers: list[tuple[int, Any]] = []

    def go() -> None:
        answers.append(server.request("POST", "/v1.0/events", body, token=person.token, **headers))

    threads = [threading.Thread(target=go) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {202}
    assert len({answer["ids"][0] for _, answer in answers}) == 1
    assert len(person.request("GET", "/v1.0/events")[1]["result"]) == 1
    other = {**body, "data": {"n": 2}}
    status, answer = server.request("POST", "/v1.0/events", other, token=person.token, **headers)
    assert status == 409
    assert answer["error"]["details"][0]["field"] == ("id" if way == "id" else "Idempotency-Key")


def test_data_travels_as_the_publishers_own_bytes(server: OffhookServer, person: Person, receiver: Receiver) -> None:
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    data = b'{ "b" : 1.50, "a":\t[1,2 ],"unicode":"\\u00e9\xc3\xa9" }'
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(
        "POST",
        "/v1.0/events",
        body=b'{"type": "bytes", "data": ' + data + b"}",
        headers={"Authorization": f"Bearer {person.token}"},
    )
    assert connection.getresponse().status == 202
    wait_until(receiver.snapshot, "it arrives")
    assert receiver.snapshot()[0].body == b'{"type":"bytes","data":' + data + b"}"


def test_the_webhook_test_tells_what_came_of_it(person: Person, receiver: Receiver) -> None:
    assert person.request("POST", "/v1.0/customer/webhook_test")[0] == 409
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "PUT"})
    status, attempt = person.request("POST", "/v1.0/customer/webhook_test", {"type": "message_created"})
    assert (status, attempt["outcome"], attempt["status_code"]) == (200, "succeeded", 200)
    (received,) = receiver.snapshot()
    assert (received.method, received.type) == ("PUT", "message_created")
    _, customer = person.request("GET", "/v1.0/customer")
    receiver.verify_all(customer["webhook_secret"])


def test_a_rotated_secret_signs_beside_the_old_one(person: Person, receiver: Receiver) -> None:
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    _, before = person.request("GET", "/v1.0/customer")
    rotated = [person.request("POST", "/v1.0/customer/webhook_secret/rotate")[1]["webhook_secret"] for _ in range(2)]
    person.request("POST", "/v1.0/events", {"type": "signed", "data": {}})
    wait_until(receiver.snapshot, "it arrives")
    for secret in (before["webhook_secret"], *rotated):
        receiver.verify_all(secret)
    assert len(receiver.snapshot()[0].headers["webhook-signature"].split()) == 3


def test_lists_are_paged_without_gaps(person: Person) -> None:
    made = [person.request("POST", "/v1.0/accesskeys", {"name": f"k{n}"})[1]["id"] for n in range(7)]
    token, seen = "", []
    while True:
        _, page = person.request("GET", f"/v1.0/accesskeys?page_size=3&page_token={token}")
        if not page["result"]:
            assert page["next_page_token"] == ""
            break
        seen += [key["id"] for key in page["result"]]
        token = page["next_page_token"]
    assert seen == made[::-1]


def test_the_request_id_is_echoed_or_made(server: OffhookServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for given, expected in (("abc-1", "abc-1"), ("bad id!", None), ("x" * 65, None)):
        connection.request("GET", "/v1.0/none", headers={"X-Request-Id": given})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        request_id = answer.headers["X-Request-Id"]
        assert request_id == body["error"]["request_id"]
        assert request_id == expected or (expected is None and len(request_id) == 30)
    connection.close()


def test_making_an_agent_is_one_request_of_the_customers_rate(tmp_path: Path) -> None:
    server = OffhookServer(
        tmp_path / "data",
        "--no-switch",
        OFFHOOK_LIMITS__CUSTOMER_PER_SECOND="0.001",
        OFFHOOK_LIMITS__CUSTOMER_BURST="6",
    )
    server.start()
    try:
        body = {"password": "long enough"}
        made = [server.request("POST", "/v1.0/agents", {**body, "username": f"a{n}"}) for n in range(2)]
        paths = [f"/v1.0/agents/{agent['id']}" for _, agent in made]
        changed = [server.request("PUT", f"{path}/password", {"password": "long enough"})[0] for path in paths]
        removed = [server.request("DELETE", path)[0] for path in paths]
        assert [status for status, _ in made] + changed + removed == [201, 201, 200, 200, 200, 200]
        assert server.request("GET", "/v1.0/agents")[0] == 429
    finally:
        server.kill()


def test_a_customer_admin_is_a_manager_and_an_agent_too_and_gives_no_more(
    server: OffhookServer, person: Person
) -> None:
    key = person.request("POST", "/v1.0/accesskeys", {})[1]["token"]
    for permission, expected in ((16, 201), (32, 201), (64, 201), (112, 201), (1, 403), (240, 403), (65535, 403)):
        body = {"username": f"{person.username}{permission}", "password": "long enough", "permission": permission}
        assert server.request("POST", "/v1.0/agents", body, token=key)[0] == expected, permission


def test_a_cursor_is_of_its_log_and_names_its_epoch(person: Person) -> None:
    def page(after: object) -> tuple[int, Any]:
        return person.request("GET", f"/v1.0/events?after={after}")

    assert page("")[1] == {"result": [], "next_cursor": "1.0"}
    person.request("POST", "/v1.0/events", [{"type": "a", "data": {}}] * 3)
    for after, positions in (("", [1, 2, 3]), ("0", [1, 2, 3]), ("1.1", [2, 3]), ("2", [3]), ("1.3", []), ("3", [])):
        status, answer = page(after)
        assert (status, [event["position"] for event in answer["result"]]) == (200, positions), after
        assert answer["next_cursor"] == "1.3"
    for after, reason in (
        ("4", "CURSOR_BEYOND_END"),
        ("1.4", "CURSOR_BEYOND_END"),
        ("2.1", "CURSOR_OF_ANOTHER_EPOCH"),
    ):
        status, answer = page(after)
        assert (status, answer["error"]["reason"]) == (409, reason)
        assert answer["error"]["details"][0]["field"] == "after"


def test_a_replay_takes_either_form_of_a_cursor(person: Person, receiver: Receiver) -> None:
    person.request("POST", "/v1.0/events", [{"type": "a", "data": {}}] * 3)
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    for after, status, count in ((2, 202, 1), ("2", 202, 1), ("1.1", 202, 2), ("1.3", 202, 0), ("2.1", 409, 0)):
        got, answer = person.request("POST", "/v1.0/events/replay", {"after": after, "only": "all"})
        assert got == status, answer
        if status == 202:
            assert answer["count"] == count
        wait_until(lambda: _nothing_pending(person), "what is replayed is delivered")
    got, answer = person.request("POST", "/v1.0/events/replay", {"after": 4})
    assert (got, answer["error"]["reason"]) == (409, "CURSOR_BEYOND_END")


def _nothing_pending(person: Person) -> bool:
    return not person.request("GET", "/v1.0/deliveries?status=pending")[1]["result"]


def test_a_page_token_made_of_a_time_with_trimmed_zeros_is_accepted(person: Person) -> None:
    made = [person.request("POST", "/v1.0/accesskeys", {})[1]["tm_create"] for _ in range(2)]
    for token in (made[1], f"{made[1]}.0"):
        _, page = person.request("GET", f"/v1.0/accesskeys?page_token={token}")
        assert [key["tm_create"] for key in page["result"]] == made[:1]
    assert person.request("GET", f"/v1.0/accesskeys?page_token={made[1].partition('.')[0]}Z")[0] == 200
