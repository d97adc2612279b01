"""Strict reading of what a publisher sends: one event, or an array of up to a thousand (contract, sections 5 and 7).

`data` travels as the publisher's own bytes, so it is checked here once and for all: valid UTF-8, valid JSON, numbers
that a double can hold, bounded nesting. msgspec's reading of a `Raw` is as strict as any (a lone surrogate escape such
as `"\\ud800"` is refused: no UTF-8 text can say it), but for UTF-8 and the range of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import msgspec

from offhook.domain.catalogue import EVENT_TYPES, subject_of
from offhook.domain.errors import ConflictError, InvalidError, OffhookError, TooLargeError
from offhook.domain.events.event import envelope
from offhook.domain.events.json_faults import invalid_json, json_fault
from offhook.domain.events.scanning import WHITE_SPACE, at_index, check_large_data, find_events, has_digits
from offhook.domain.nearest import unknown_name

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUBJECT = re.compile(r"[A-Za-z0-9_.:@+-]{1,64}/[A-Za-z0-9_.:@+-]{1,191}")
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
# The largest double has 309 digits.
_LONGEST_INTEGER = 309
_MARK = b"\xef\xbb\xbf"
_MARKED = "The body starts with a byte order mark. Leave it out."
# Decoding it takes a moment, and is the quicker way to check it.
_SMALL_ITEM = 32 * 1024
_QUOTE = 0x22
# Long enough for an id of 200 characters, each escaped.
_SHORT_TEXT = 4_096


class PublishLimits(msgspec.Struct, frozen=True):
    """The largest envelope in bytes, the longest batch, the deepest nesting."""

    max_event_bytes: int = 256 * 1024
    max_batch: int = 1_000
    max_depth: int = 64


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One event as it was published: `subject` and `id` are empty where none was given."""

    type: str
    subject: str
    id: str
    payload: bytes


class _Sent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    data: msgspec.Raw
    id: str | None = None
    subject: str | None = None


_one = msgspec.json.Decoder(_Sent)
_many = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_publications(body: bytes, limits: PublishLimits) -> list[Publication]:
    """The events in a request's body, in their order; for a body that is read in a moment.

    Raises InvalidError or TooLargeError naming the field at fault and, in a batch, the index; ConflictError if one id
    stands for two different events.
    """
    start = body.lstrip(WHITE_SPACE)[:1]
    if start == b"[":
        return _parse_batch(body, limits)
    _check_text(body)
    if start != b"{":
        raise invalid_json("The body is a JSON object, or an array of 1 to 1,000 of them.")
    return [_parse(body, limits)]


def _parse_batch(body: bytes, limits: PublishLimits) -> list[Publication]:
    try:
        body.decode("utf-8")
        items = _many.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        # The other way finds the events one by one, and knows which of them is at fault.
        for _ in parse_large(body, limits):
            pass
        raise invalid_json("The body is not valid JSON.") from None
    if not 1 <= len(items) <= limits.max_batch:
        raise InvalidError(f"A batch has 1 to {limits.max_batch} events; this one has {len(items)}.", field="body")
    found = [_parse_one_of(bytes(item), index, limits) for index, item in enumerate(items)]
    _check_repeated_ids(found)
    return found


def parse_large(body: bytes | bytearray, limits: PublishLimits) -> Generator[None, None, list[Publication]]:
    """As `parse_publications`, in steps of some milliseconds at most, after each of which others may have their turn.

    A body may be as large as it likes, and an event may not: where the limit for one is raised to many megabytes, its
    steps take as much longer.
    """
    if body.startswith(_MARK):
        raise invalid_json(_MARKED)
    is_batch, spans = yield from find_events(body, max_event_bytes=limits.max_event_bytes, max_batch=limits.max_batch)
    found = []
    for index, (begin, end) in enumerate(spans):
        item = bytes(memoryview(body)[begin:end])
        try:
            _check_text(item, begin)
            yield
            found.append((yield from _parse_large_item(item, limits)))
        except OffhookError as error:
            raise (at_index(index, error) if is_batch else error) from None
        yield
    _check_repeated_ids(found)
    return found


def _parse_large_item(item: bytes, limits: PublishLimits) -> Generator[None, None, Publication]:
    if len(item) <= _SMALL_ITEM:
        return _parse(item, limits)
    sent = _decode(item)
    raw = _raw_data(sent)
    yield from check_large_data(raw, limits.max_depth)
    return _publication(sent, raw, _subject_field(sent.type, raw), limits)


def _parse_one_of(item: bytes, index: int, limits: PublishLimits) -> Publication:
    try:
        return _parse(item, limits)
    except OffhookError as error:
        raise at_index(index, error) from None


def _parse(item: bytes, limits: PublishLimits) -> Publication:
    sent = _decode(item)
    raw = _raw_data(sent)
    return _publication(sent, raw, _checked_data(raw, limits.max_depth), limits)


def _raw_data(sent: _Sent) -> bytes:
    if not _TYPE.fullmatch(sent.type):
        raise InvalidError("type must match [a-z][a-z0-9_]{0,63}.", field="type")
    if sent.id is not None and not _ID.fullmatch(sent.id):
        raise InvalidError("id must match [A-Za-z0-9_-]{1,64}.", field="id")
    raw = bytes(sent.data).strip(WHITE_SPACE)
    if raw[:1] != b"{":
        raise InvalidError("data must be an object.", field="data")
    return raw


def _publication(sent: _Sent, raw: bytes, data: dict[str, Any], limits: PublishLimits) -> Publication:
    payload = envelope(sent.type, raw)
    if len(payload) > limits.max_event_bytes:
        raise TooLargeError(f"The event is larger than {limits.max_event_bytes} bytes.", field="data")
    return Publication(sent.type, _subject(sent, data), sent.id or "", payload)


def _decode(item: bytes) -> _Sent:
    try:
        return _one.decode(item)
    except msgspec.ValidationError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown:
            raise unknown_name("field", unknown[1], _Sent.__struct_fields__) from None
        raise InvalidError(f"{error}.", field=_field_of(str(error))) from None
    except RecursionError:
        raise InvalidError("data is nested far too deeply.", field="data") from None
    except msgspec.DecodeError:
        raise json_fault(item) from None


def _field_of(message: str) -> str:
    """The field that msgspec speaks of: "… - at `$.type`", or "… field `data`"."""
    found = re.search(r"\$\.(\w+)", message) or re.search(r"field `(\w+)`", message)
    return found[1] if found else "body"


def _checked_data(raw: bytes, max_depth: int) -> dict[str, Any]:
    """The data, once what the reading of the event left to be checked is: numbers and nesting."""
    try:
        data: dict[str, Any] = _anything.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidError(f"data cannot be accepted: {error}.", field="data") from None
    # Brackets inside of strings count too, so this only spares the walk, and never the check.
    if raw.count(b"{") + raw.count(b"[") > max_depth and _depth(data) > max_depth:
        raise InvalidError(f"data is nested deeper than {max_depth}.", field="data")
    if has_digits(raw, _LONGEST_INTEGER):
        # In the bytes, as of a repeated key's values the data has only the last.
        for _ in check_large_data(raw, max_depth):
            pass
    return data


def _depth(data: dict[str, Any]) -> int:
    """How deep the nesting is; without recursion, as it may be deep."""
    depth = 0
    level: list[Any] = [data]
    while level:
        depth += 1
        inner: list[Any] = []
        for value in level:
            inner.extend(value.values() if isinstance(value, dict) else value)
        level = [value for value in inner if isinstance(value, dict | list)]
    return depth


def _subject(sent: _Sent, data: dict[str, Any]) -> str:
    derived = subject_of(sent.type, data) if sent.type in EVENT_TYPES else None
    if derived is None:
        if sent.subject and not _SUBJECT.fullmatch(sent.subject):
            raise InvalidError(
                "subject is <resource>/<id> of letters, digits and _.:@+- (it travels in a header).", field="subject"
            )
        return sent.subject or ""
    if sent.subject is not None and sent.subject != derived:
        raise InvalidError(f"The subject of this event is {derived}; leave the field out.", field="subject")
    return derived


def _subject_field(type_: str, raw: bytes) -> dict[str, Any]:
    """Of an object's own fields that one of which a subject is made; the others need not be decoded."""
    if type_ not in EVENT_TYPES:
        return {}
    name = EVENT_TYPES[type_].id_field
    value = _fields.decode(raw).get(name)
    is_short_text = value is not None and memoryview(value)[0] == _QUOTE and len(memoryview(value)) <= _SHORT_TEXT
    return {name: _anything.decode(value)} if value is not None and is_short_text else {}


def _check_text(body: bytes, begin: int = 0) -> None:
    if begin == 0 and body.startswith(_MARK):
        raise invalid_json(_MARKED)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_json(f"The body is not UTF-8 at byte {begin + error.start}.") from None


def _check_repeated_ids(found: list[Publication]) -> None:
    by_id: dict[str, Publication] = {}
    for index, publication in enumerate(found):
        if publication.id and by_id.setdefault(publication.id, publication) != publication:
            raise ConflictError(
                f"Event {index} has the id of another event in this batch.",
                reason="EVENT_ID_REUSED",
                field="id",
                index=index,
            )
