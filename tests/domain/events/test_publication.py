"""Reading what a publisher sends: large bodies in steps, with the same result as small ones at once."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.domain.errors import ConflictError, InvalidError, OffhookError, TooLargeError
from offhook.domain.events import publication, scanning
from offhook.domain.events.publication import Publication, PublishLimits, parse_large, parse_publications
from tests.rounds import examples

T = TypeVar("T")
LIMITS = PublishLimits()


def walked(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: T = ended.value
            return result


def outcome(body: bytes, limits: PublishLimits, *, large: bool) -> list[Publication] | tuple[str, object, object]:
    try:
        return walked(parse_large(bytearray(body), limits)) if large else parse_publications(body, limits)
    except OffhookError as error:
        return type(error).__name__, error.field, error.index


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['"', "\\", "]}", "[{", '\\"', "},{", "é", "😀"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"\\]{', max_size=3), inner, max_size=4),
    max_leaves=12,
)
events = st.fixed_dictionaries(
    {"type": st.sampled_from(["a", "paid"]), "data": st.dictionaries(st.text("xy{", max_size=2), values, max_size=3)}
)
bodies = st.builds(
    lambda batch, indent, ascii_only: json.dumps(batch, indent=indent, ensure_ascii=ascii_only).encode(),
    st.lists(events, min_size=1, max_size=5) | events,
    st.sampled_from([None, 1]),
    st.booleans(),
)


@settings(max_examples=examples(300), deadline=None)
@given(bodies, st.integers(60, 400))
def test_a_large_body_is_read_as_a_small_one(body: bytes, around: int) -> None:
    # A small window, so that it cuts everything that can be cut.
    limits = PublishLimits(max_event_bytes=1_500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_AROUND", around)
        patch.setattr(publication, "_SMALL_ITEM", 0)
        assert outcome(body, limits, large=True) == outcome(body, limits, large=False)


mutations = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.sampled_from([b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"\xff", b" ", b"1"]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=examples(500), deadline=None)
@given(bodies, mutations)
def test_a_damaged_large_body_is_refused_where_a_small_one_is(body: bytes, changes: list[tuple[int, bytes]]) -> None:
    for place, text in changes:
        at = place % (len(body) + 1)
        body = body[:at] + text + body[at + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication, "_SMALL_ITEM", 0)
        small, large = (outcome(body, LIMITS, large=large) for large in (False, True))
    if isinstance(small, list):
        assert large == small
    else:
        # Which of two faults is named first may differ; that there is one may not.
        assert isinstance(large, tuple), (small, body)
        assert large[0] == small[0]


def event(data: str) -> bytes:
    return b'{"type":"a","data":' + data.encode() + b"}"


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("data", "good"),
    [
        ("{" + '"a":{' * 63 + "}" * 64, True),
        ("{" + '"a":{' * 64 + "}" * 65, False),
        ('{"a":' + "[" * 63 + "]" * 63 + "}", True),
        ('{"a":' + "[" * 64 + "]" * 64 + "}", False),
        ('{"a":"' + "[" * 500 + '"}', True),
        ('{"a":1e308}', True),
        ('{"a":1e309}', False),
        ('{"a":-1e309}', False),
        ('{"a":1e-999}', True),
        ('{"a":1e-' + "9" * 400 + "}", True),
        ('{"a":"1e999"}', True),
        ('{"a":' + "1" * 250 + "e60}", False),
        ('{"a":' + "1" * 308 + "}", True),
        ('{"a":' + "1" * 309 + "}", True),
        ('{"a":-' + "1" * 309 + "}", True),
        ('{"a":' + "9" * 309 + "}", False),
        ('{"a":-' + "9" * 309 + "}", False),
        ('{"a":' + "1" * 310 + "}", False),
        ('{"a":' + "9" * 309 + ',"a":1}', False),
        ('{"a":' + "1" * 5_000 + "}", False),
        ('{"a":0.' + "1" * 5_000 + "}", True),
        ('{"a":"' + "9" * 5_000 + '"}', True),
        ('{"a":"\\ud83d\\ude00"}', True),
        ('{"a":"\\ud800"}', False),
        ('{"a":"\\udc00"}', False),
        ('{"\\ud800x":1}', False),
        ("[]", False),
        ("5", False),
    ],
    ids=range(28),
)
def test_what_data_may_hold(data: str, good: bool, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "_SMALL_ITEM", 0)
    for body, index in ((event(data), None), (b"[" + event("{}") + b", " + event(data) + b"]", 1)):
        found = outcome(body, LIMITS, large=large)
        if good:
            assert isinstance(found, list), found
        else:
            assert isinstance(found, tuple)
            assert found[0] == "InvalidError"
            assert found[1:] in (("data", index), ("body", index))


@pytest.mark.parametrize("large", [False, True])
def test_a_batch_as_a_whole(large: bool) -> None:
    good = event("{}")
    same, other = (b'{"type":"a","id":"x","data":' + data + b"}" for data in (b"{}", b'{"n":1}'))
    for body, expected in (
        (b"[" + b",".join([good] * 1_000) + b"]", 1_000),
        (b" \n[ " + good + b"\t,\r\n" + good + b" ]  ", 2),
        (b"[" + same + b"," + same + b"]", 2),
        (b"[" + same + b"," + other + b"]", ConflictError),
        (b"[" + b",".join([good] * 1_001) + b"]", InvalidError),
        (b"[]", InvalidError),
        (b"[" + good + b"]]", InvalidError),
        (b"[" + good + b"}", InvalidError),
        (b"[" + good + b",]", InvalidError),
        (b"[," + good + b"]", InvalidError),
        (b"[" + good + good + b"]", InvalidError),
        (b"[" + good + b",5]", InvalidError),
        (b'["a",' + good + b"]", InvalidError),
        (good + good, InvalidError),
        (good + b"]", InvalidError),
        (b"[" + good, InvalidError),
        (b"", InvalidError),
        (b"\xef\xbb\xbf" + good, InvalidError),
        (b"[" + event('{"a":"' + "x" * 262_144 + '"}') + b"]", TooLargeError),
        (event('{"a":"' + "x" * 600_000 + '"}'), TooLargeError),
        (event('{"a":"' + "x" * 600_000), InvalidError),
    ):
        found = outcome(body, LIMITS, large=large)
        if isinstance(expected, int):
            assert isinstance(found, list), (body[:80], found)
            assert len(found) == expected
        elif body.startswith(event('{"a":"' + "x" * 600_000)[:-1]):
            assert found[0] in ("TooLargeError", "InvalidError")
        else:
            assert not isinstance(found, list), body[:80]
            assert found[0] == expected.__name__, body[:80]


def test_the_subject_of_a_large_one_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "_SMALL_ITEM", 0)
    data = json.dumps({"id": "a-1", "note": "x" * 1_000, "more": [{"id": "b"}]}, indent=1)
    body = ('[{"type":"call_created","data":' + data + "}]").encode()
    assert outcome(body, LIMITS, large=True) == outcome(body, LIMITS, large=False)
    assert walked(parse_large(body, LIMITS))[0].subject == "call/a-1"


OVER = object()
DENSE = {
    "lists": "[" + ",".join(["[]"] * 87_000) + "]",
    "nested": "[" + ",".join(["[" * 60 + "]" * 60] * 2_100) + "]",
    "texts": "[" + ",".join(['""'] * 87_000) + "]",
    "numbers": "[" + ",".join(["1"] * 130_000) + "]",
    "long numbers": "[1e100," + ",".join(["1" * 99] * 2_600) + "]",
    "long fractions": "[1e100," + ",".join(["1." + "1" * 97] * 2_600) + "]",
    "numbers of 60 digits": "[1e100," + ",".join(["1" * 60] * 4_250) + "]",
    "large exponents": "[" + ",".join(["1e100"] * 43_000) + "]",
    "one text": '"' + "x" * 260_000 + '"',
}


def longest_step_s(body: bytes) -> float:
    """CPU of this thread in the longest step of reading it, in the best of three readings: what the steps are the cause
    of comes each time, what the machine does meanwhile does not."""
    return min(max(steps_s(body)) for _ in range(3))


def steps_s(body: bytes) -> Iterator[float]:
    steps = parse_large(body, LIMITS)
    while True:
        start_s = time.thread_time()
        is_over = next(steps, OVER) is OVER
        yield time.thread_time() - start_s
        if is_over:
            return


# A third of the bound where nobody else works; reading such an event in one go takes eighty milliseconds.
@pytest.mark.alone
@pytest.mark.parametrize("kind", DENSE)
def test_no_step_of_a_16_mib_batch_takes_long(kind: str) -> None:
    assert longest_step_s(b"[" + b",".join([event('{"a":' + DENSE[kind] + "}")] * 20) + b"]") < 0.02


@pytest.mark.alone
def test_no_step_of_a_call_with_thousands_of_fields_takes_long() -> None:
    data = json.dumps({"id": "a"} | {f"{number}": "" for number in range(18_000)})
    body = ("[" + ",".join(['{"type":"call_created","data":' + data + "}"] * 20) + "]").encode()
    assert longest_step_s(body) < 0.02
