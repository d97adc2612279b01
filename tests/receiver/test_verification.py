"""`verify`: what was signed comes out as an event, and everything else is refused by its own name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook
from werkzeug.datastructures import Headers as WerkzeugHeaders

from offhook.domain.delivery.signature import new_secret
from offhook.receiver import (
    BadSignatureError,
    MalformedBodyError,
    MalformedHeaderError,
    MalformedSecretError,
    MissingHeaderError,
    TimestampTooNewError,
    TimestampTooOldError,
    VerificationError,
    Verifier,
    verify,
)
from offhook.receiver.headers import Headers

from .signing import EVENT_ID, body_of, signed_headers

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
SECRET, OTHER_SECRET = new_secret(), new_secret()
event_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
envelopes = st.fixed_dictionaries(
    {"type": st.text(min_size=1), "data": st.dictionaries(st.text(), json_values, max_size=4)}
)


@given(envelope=envelopes, event_id=event_ids, age_s=st.integers(-300, 300))
def test_what_is_signed_is_verified_and_comes_out_whole(envelope: dict[str, Any], event_id: str, age_s: int) -> None:
    body = body_of(envelope)
    signed_at = NOW - timedelta(seconds=age_s)
    event = verify(signed_headers(SECRET, body, at=signed_at, event_id=event_id), body, SECRET, now=NOW)
    assert (event.id, event.type, event.data, event.timestamp) == (
        event_id,
        envelope["type"],
        envelope["data"],
        signed_at,
    )


@given(envelope=envelopes, event_id=event_ids)
def test_the_public_python_library_accepts_our_signature(envelope: dict[str, Any], event_id: str) -> None:
    body = body_of(envelope)
    headers = signed_headers([OTHER_SECRET, SECRET], body, at=datetime.now(UTC), event_id=event_id)
    assert Webhook(SECRET).verify(body, headers) == envelope


@given(envelope=envelopes, event_id=event_ids)
def test_we_accept_the_signature_of_the_public_python_library(envelope: dict[str, Any], event_id: str) -> None:
    body = body_of(envelope)
    headers = {
        "Webhook-Id": event_id,
        "Webhook-Timestamp": str(int(NOW.timestamp())),
        "Webhook-Signature": Webhook(SECRET).sign(event_id, NOW, body.decode()),
    }
    assert verify(headers, body, SECRET, now=NOW).data == envelope["data"]


@given(data=st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    body = body_of()
    headers = signed_headers(SECRET, body, at=NOW)
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadSignatureError):
        verify(headers, bytes(changed), SECRET, now=NOW)


@pytest.mark.parametrize(
    "form",
    [
        dict,
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: WerkzeugHeaders(list(headers.items())),
        lambda headers: list(headers.items()),
        lambda headers: [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        lambda headers: iter(headers.items()),
    ],
    ids=["dict", "upper-case", "werkzeug", "pairs", "asgi", "iterator"],
)
def test_headers_are_found_in_any_form(form: Callable[[dict[str, str]], Headers]) -> None:
    body = body_of()
    assert verify(form(signed_headers(SECRET, body, at=NOW)), body, SECRET, now=NOW).id == EVENT_ID


def test_the_unsigned_headers_are_typed() -> None:
    body = body_of()
    headers = signed_headers(
        SECRET,
        body,
        at=NOW,
        offhook_attempt="3",
        offhook_subject="call/c1",
        offhook_sequence="7",
        offhook_position="99",
    )
    event = verify(headers, body, SECRET, now=NOW)
    assert (event.attempt, event.subject, event.sequence, event.position) == (3, "call/c1", 7, 99)
    bare = verify(signed_headers(SECRET, body, at=NOW), body, SECRET, now=NOW)
    assert (bare.attempt, bare.subject, bare.sequence, bare.position) == (None, None, None, None)


def test_during_a_rotation_either_side_may_be_ahead() -> None:
    body = body_of()
    old, new = new_secret(), new_secret()
    assert verify(signed_headers([new, old], body, at=NOW), body, old, now=NOW)
    assert verify(signed_headers([new, old], body, at=NOW), body, new, now=NOW)
    assert verify(signed_headers(new, body, at=NOW), body, [old, new], now=NOW)
    with pytest.raises(BadSignatureError):
        verify(signed_headers(new, body, at=NOW), body, old, now=NOW)


def test_signatures_of_other_versions_are_passed_over() -> None:
    body = body_of()
    headers = signed_headers(SECRET, body, at=NOW)
    headers["webhook-signature"] = "v1a,AAAA v2,x " + headers["webhook-signature"]
    assert verify(headers, body, SECRET, now=NOW).id == EVENT_ID


REQUIRED = ["webhook-id", "webhook-timestamp", "webhook-signature"]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_header_is_named(name: str) -> None:
    body = body_of()
    headers = signed_headers(SECRET, body, at=NOW)
    del headers[name]
    with pytest.raises(MissingHeaderError) as refused:
        verify(headers, body, SECRET, now=NOW)
    assert refused.value.field == name


@pytest.mark.parametrize("name", REQUIRED)
def test_a_header_that_is_there_twice_is_refused(name: str) -> None:
    body = body_of()
    pairs = list(signed_headers(SECRET, body, at=NOW).items())
    pairs += [(key.upper(), value) for key, value in pairs if key == name]
    with pytest.raises(MalformedHeaderError) as refused:
        verify(pairs, body, SECRET, now=NOW)
    assert refused.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", ""),
        ("webhook-id", "two words"),
        ("webhook-id", "with.dot"),
        ("webhook-id", "é"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "now"),
        ("webhook-timestamp", "-5"),
        ("webhook-timestamp", "1777636800.5"),
        ("webhook-timestamp", "１７７７６３６８００"),
        ("webhook-timestamp", "9" * 40),
        ("webhook-signature", ""),
        ("webhook-signature", "nonsense"),
        ("webhook-signature", "v2,AAAA"),
        ("offhook-attempt", "one"),
        ("offhook-subject", "a b"),
        ("offhook-sequence", "-1"),
        ("offhook-position", "1.5"),
    ],
)
def test_a_malformed_header_is_named(name: str, value: str) -> None:
    body = body_of()
    headers = signed_headers(SECRET, body, at=NOW) | {name: value}
    with pytest.raises(MalformedHeaderError) as refused:
        verify(headers, body, SECRET, now=NOW)
    assert refused.value.field == name


@pytest.mark.parametrize("value", [5, None, ["v1,AAAA"], 1.5])
@pytest.mark.parametrize("name", [*REQUIRED, "offhook-attempt"])
def test_a_header_that_is_no_text_is_named(name: str, value: object) -> None:
    body = body_of()
    headers: Any = {**signed_headers(SECRET, body, at=NOW), name: value, "wsgi.input": object()}
    with pytest.raises(MalformedHeaderError, match="must be text") as refused:
        verify(headers, body, SECRET, now=NOW)
    assert refused.value.field == name


def test_a_name_of_a_header_that_is_no_text_is_refused() -> None:
    headers: Any = [(7, "x")]
    with pytest.raises(MalformedHeaderError, match="name of a header"):
        verify(headers, b"", SECRET, now=NOW)


@pytest.mark.parametrize("signature", ["v1,", "v1,AAAA", "v1,é", "v1,\udcff", "v1,a,b"])
def test_a_signature_that_fits_nothing_is_a_bad_one(signature: str) -> None:
    headers = signed_headers(SECRET, body_of(), at=NOW) | {"webhook-signature": signature}
    with pytest.raises(BadSignatureError):
        verify(headers, body_of(), SECRET, now=NOW)


def test_the_signature_covers_id_and_time() -> None:
    body = body_of()
    for change in ({"webhook-id": "evt_other"}, {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}):
        with pytest.raises(BadSignatureError):
            verify(signed_headers(SECRET, body, at=NOW) | change, body, SECRET, now=NOW)


def test_five_minutes_are_tolerated_and_not_a_second_more() -> None:
    body = body_of()
    for age_s in (300, -300):
        assert verify(signed_headers(SECRET, body, at=NOW - timedelta(seconds=age_s)), body, SECRET, now=NOW)
    with pytest.raises(TimestampTooOldError):
        verify(signed_headers(SECRET, body, at=NOW - timedelta(seconds=301)), body, SECRET, now=NOW)
    with pytest.raises(TimestampTooNewError):
        verify(signed_headers(SECRET, body, at=NOW + timedelta(seconds=301)), body, SECRET, now=NOW)


def test_the_tolerance_can_be_chosen_and_the_clock_is_ours() -> None:
    body = body_of()
    old = signed_headers(SECRET, body, at=datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(TimestampTooOldError):
        verify(old, body, SECRET)
    assert verify(old, body, SECRET, tolerance=timedelta(hours=2))


@pytest.mark.parametrize("secrets", [[], "", "whsec_", "whsec_!!", [SECRET, "secret"], "whsec_c2hvcnQ="])
def test_a_malformed_secret_is_the_receivers_fault_and_never_shown(secrets: str | list[str]) -> None:
    with pytest.raises(MalformedSecretError) as refused:
        verify({}, b"", secrets)
    assert SECRET[6:] not in str(refused.value)
    assert SECRET[6:] not in repr(Verifier(SECRET))


@pytest.mark.parametrize("secrets", [b"whsec_x", None, [None], [SECRET, 7], [b"whsec_x"]])
def test_a_secret_that_is_no_text_is_said_to_be_none(secrets: Any) -> None:
    """Such as that of `os.environ.get`, when the variable is not set."""
    with pytest.raises(MalformedSecretError, match="must be text"):
        Verifier(secrets)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"type":"a"}',
        b'{"type":1,"data":{}}',
        b'{"type":"a","data":[]}',
        b'{"type":"a","data":{}} x',
        b'{"type":"a","data":{"b":"\xff"}}',
        b'{"type":"a","data":{"b":NaN}}',
        b'{"type":"a","data":{"b":1e999}}',
        b'{"type":"a","data":{"b":[-1e999]}}',
        b'{"type":"\\ud800","data":{}}',
        b'{"type":"a","data":{"b":["\\uDC00"]}}',
        b'{"type":"a","data":{"\\uD83d":1}}',
        b'{"type":"a","data":{"b":"\\ude00\\ud83d"}}',
        b'\xef\xbb\xbf{"type":"a","data":{}}',
        '{"type":"a","data":{}}'.encode("utf-16"),
        b'{"type":"a","data":{"b":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        verify(signed_headers(SECRET, body, at=NOW), body, SECRET, now=NOW)


def test_both_halves_of_a_pair_and_a_backslash_before_a_u_are_text() -> None:
    body = rb'{"type":"\ud83d\uDE00","data":{"b":"\\ud800","c":1e300}}'
    event = verify(signed_headers(SECRET, body, at=NOW), body, SECRET, now=NOW)
    assert (event.type, event.data) == ("\N{GRINNING FACE}", {"b": "\\ud800", "c": 1e300})


def test_a_parsed_body_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="raw body"):
        verify({}, body_of().decode(), SECRET)  # type: ignore[arg-type]


def test_every_failure_is_in_one_tree_with_a_reason_of_its_own() -> None:
    classes = VerificationError.__subclasses__()
    assert len(classes) == 8
    assert len({each.default_reason for each in classes}) == len(classes)


def test_the_how_to_names_every_failure() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "verify-a-webhook.md"
    text = page.read_text(encoding="utf-8")
    for each in VerificationError.__subclasses__():
        assert f"| `{each.__name__}` |" in text


def test_importing_the_receiver_pulls_in_nothing_that_python_does_not_have() -> None:
    names = "{name.partition('.')[0] for name in sys.modules}"
    code = f"import sys; before = {names}; import offhook.receiver, offhook.receiver.asgi; print(*({names} - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "json" in loaded
    assert set(loaded) - sys.stdlib_module_names == {"offhook"}
