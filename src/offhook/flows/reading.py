"""Reading a flow's actions as somebody wrote them: all of them or none, with the first fault of each that has one.

Ids may be words: they become UUIDs, and every reference to them follows. A string with `${` in it is read when the
action runs, as its value is not known before.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from offhook.domain.catalogue.fields import Action
from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID, is_uuid, new_uuid
from offhook.domain.nearest import unknown_name
from offhook.flows.options import LONGEST_TEXT_BYTES, OPTIONS, ActionId, Option

MAX_ACTIONS = 500
MAX_BYTES = 262_144
MAX_ACTION_BYTES = 65_536
_FIELDS = ("id", "next_id", "type", "option", "tm_execute", "error")
_START, _FINISH, _NEXT = (f"00000000-0000-0000-0000-{number:012d}" for number in (1, 2, 3))
FINISH_ID = _FINISH
"""As a reference: the end of the list (facts, section 5)."""
_RESERVED = frozenset({_START, _FINISH, _NEXT})

NewId = Callable[[], str]
Check = Callable[[str, str, Any], str]
"""(type of action, field, value) → why what is named there cannot be used, as a sentence; "" if it can."""


class _Fault(NamedTuple):
    place: int
    field: str
    message: str
    reason: str = "INVALID_ARGUMENT"


class _FaultError(Exception):
    def __init__(self, field: str, message: str, reason: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.field, self.message, self.reason = field, message, reason


def read_actions(
    given: Any,
    *,
    field: str = "actions",
    max_count: int = MAX_ACTIONS,
    new_id: NewId = new_uuid,
    check: Check | None = None,
) -> tuple[Action, ...]:
    """The actions of `given`, a list of JSON objects.

    `check` is asked about every value that names something outside the flow, unless it has variables. Raises
    InvalidError; its `details` have index, field and message of the first fault of each action.
    """
    if not isinstance(given, list):
        raise InvalidError(f"{field} is not a list of actions.", field=field)
    if len(given) > max_count:
        raise InvalidError(f"There can be {max_count} actions at most, not {len(given)}.", field=field)
    if _size(given, field) > MAX_BYTES:
        raise InvalidError(f"The actions have more than {MAX_BYTES} bytes together.", field=field)
    ids, faults = _read_ids(given, new_id)
    actions = []
    for index, one in enumerate(given):
        if any(fault.place == index for fault in faults):
            continue
        try:
            actions.append(_read(one, ids, index, check))
        except _FaultError as error:
            faults.append(_Fault(index, error.field, error.message, error.reason))
    if faults:
        raise _refusal(field, sorted(faults))
    return tuple(actions)


class _Ids(NamedTuple):
    own: Mapping[int, str]
    by_word: Mapping[str, str]


def _read_ids(given: Sequence[Any], new_id: NewId) -> tuple[_Ids, list[_Fault]]:
    """The id that each action has, and what the ids that were written have become."""
    own: dict[int, str] = {}
    by_word: dict[str, str] = {}
    faults: list[_Fault] = []
    for index, one in enumerate(given):
        if not isinstance(one, dict):
            faults.append(_Fault(index, "", "An action is an object with a type and an option."))
            continue
        word = one.get("id") or ""
        if not isinstance(word, str):
            faults.append(_Fault(index, "id", "An id is a text."))
        elif word in ("", NIL_UUID):
            own[index] = new_id()
        elif word.lower() in _RESERVED:
            faults.append(_Fault(index, "id", f"{word} is an id of the system's own: choose another one."))
        elif _key(word) in by_word:
            faults.append(_Fault(index, "id", f"Another action has the id {word[:64]} already."))
        else:
            own[index] = word.lower() if is_uuid(word) else new_id()
            by_word[_key(word)] = own[index]
    return _Ids(own, by_word), faults


def _key(word: str) -> str:
    return word.lower() if is_uuid(word) else word


def _size(given: Any, field: str) -> int:
    try:
        return len(msgspec.json.encode(given))
    except (UnicodeEncodeError, RecursionError) as error:
        raise InvalidError(f"{field} cannot be written as JSON: {error}.", field=field) from None


def _read(given: dict[str, Any], ids: _Ids, index: int, check: Check | None) -> Action:
    for name in given:
        if name not in _FIELDS:
            raise _FaultError(name, unknown_name("field", name, _FIELDS[:4]).message)
    if len(msgspec.json.encode(given)) > MAX_ACTION_BYTES:
        raise _FaultError("option", f"An action has at most {MAX_ACTION_BYTES} bytes.")
    action_type = given.get("type")
    if not isinstance(action_type, str) or action_type not in OPTIONS:
        shown = action_type if isinstance(action_type, str) else ""
        message = unknown_name("type of action", shown, OPTIONS).message
        raise _FaultError("type", message, "INVALID_ACTION_TYPE")
    option = given.get("option")
    if option is None:
        option = {}
    if not isinstance(option, dict):
        raise _FaultError("option", "option is not an object.")
    read = {name: _read_field(action_type, name, value, ids, check) for name, value in option.items()}
    _check_whole(action_type, read)
    return Action(
        id=ids.own[index],
        next_id=_reference("next_id", given.get("next_id"), ids),
        type=action_type,
        option=read,
        tm_execute=None,
    )


def _read_field(action_type: str, name: str, value: Any, ids: _Ids, check: Check | None) -> Any:
    shape = _shapes(OPTIONS[action_type])
    if name not in shape:
        raise _FaultError(f"option.{name}", unknown_name(f"option of {action_type}", name, shape).message)
    if shape[name] is ActionId:
        return _reference(f"option.{name}", value, ids)
    if shape[name] == dict[str, ActionId]:
        if not isinstance(value, dict):
            raise _FaultError(f"option.{name}", f"{name} is not an object of values and ids.")
        return {key: _reference(f"option.{name}.{key[:64]}", each, ids) for key, each in value.items()}
    if isinstance(value, str) and "${" in value and _takes_text(shape[name]):
        return value
    if isinstance(value, list) and any(isinstance(each, str) and "${" in each for each in value):
        literal = [each for each in value if not (isinstance(each, str) and "${" in each)]
        if literal:
            _convert(name, literal, shape[name])
    else:
        _convert(name, value, shape[name])
    for each in value if isinstance(value, list) else [value]:
        fault = check(action_type, name, each) if check and isinstance(each, str) and "${" not in each else ""
        if fault:
            raise _FaultError(f"option.{name}", fault)
    return value


def _convert(name: str, value: Any, shape: Any) -> None:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise _FaultError(f"option.{name}", f"{name}: {error}.") from None


def _check_whole(action_type: str, option: dict[str, Any]) -> None:
    """What holds for an option as a whole: nothing that is needed is missing."""
    for field in msgspec.structs.fields(OPTIONS[action_type]):
        if field.required and field.encode_name not in option:
            raise _FaultError(f"option.{field.encode_name}", f"{action_type} needs {field.encode_name}.")
    if action_type == "goto" and option["target_id"] == NIL_UUID:
        raise _FaultError("option.target_id", "goto needs the id of the action to go to.")
    if action_type == "talk" and len(option["text"].encode(errors="surrogatepass")) > LONGEST_TEXT_BYTES:
        raise _FaultError("option.text", f"text has more than {LONGEST_TEXT_BYTES} bytes.")
    if action_type == "webhook_send" and "${" not in option.get("data", ""):
        _check_json(option.get("data", ""))


def _check_json(data: str) -> None:
    try:
        if data:
            msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _FaultError("option.data", f"data is a text that is itself JSON: {error}.") from None


def _reference(name: str, value: Any, ids: _Ids) -> str:
    """What a reference has become; nil for none."""
    if value in (None, "", NIL_UUID):
        return NIL_UUID
    if not isinstance(value, str):
        raise _FaultError(name, "An id is a text.")
    if value == _FINISH:
        return value
    found = ids.by_word.get(_key(value))
    if found is None:
        raise _FaultError(name, f"There is no action {value[:64]} in this flow.")
    return found


@functools.cache
def _shapes(option: type[Option]) -> dict[str, Any]:
    hints = typing.get_type_hints(option, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(option)}


def _takes_text(shape: Any) -> bool:
    plain = typing.get_args(shape)[0] if typing.get_origin(shape) is typing.Annotated else shape
    return plain is str or typing.get_origin(plain) is typing.Literal


def _refusal(field: str, faults: Sequence[_Fault]) -> InvalidError:
    first = faults[0]
    where = f"{field}[{first.place}]" + (f".{first.field}" if first.field else "")
    more = f" ({len(faults) - 1} more actions have faults: see details.)" if len(faults) > 1 else ""
    return InvalidError(
        f"{where}: {first.message}{more}",
        reason=first.reason,
        details=[
            {"field": f"{field}[{each.place}]" + (f".{each.field}" if each.field else ""), "index": each.place,
             "message": each.message}
            for each in faults
        ],
    )  # fmt: skip
