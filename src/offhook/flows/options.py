"""What each type of action takes: one struct a type, one table of all (facts, section 5).

A field's type says what is taken there. `ActionId` marks what names another action of the same flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

LONGEST_TEXT_BYTES = 20_000
"""What `talk` speaks at most, in UTF-8."""

Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]
"""A span: at most a day."""
ActionId = Annotated[str, Meta(description="The id of an action of this flow; nil for none.")]
Required = Annotated[str, Meta(min_length=1)]
Uri = Annotated[str, Meta(min_length=1, max_length=2_048)]
Method = Literal["POST", "PUT", "GET", "DELETE"]
Comparison = Literal["==", "!=", ">", ">=", "<", "<="]
_Field = Annotated[int, Meta(ge=-1)]


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What an action takes. Every type has one."""


class Answer(Option, frozen=True, kw_only=True):
    """The call is answered."""


class Talk(Option, frozen=True, kw_only=True):
    """The text, plain or SSML, is spoken; the call is answered first. `digits_handle` next: a digit ends it."""

    text: Required
    language: str = ""
    provider: str = ""
    voice_id: str = ""
    gender: str = ""  # clients of VoIPBIN's send it (facts, section 7); it has no effect
    digits_handle: Literal["", "next"] = ""
    is_async: bool = msgspec.field(default=False, name="async")

    def __post_init__(self) -> None:
        """Raises ValueError if there is too much to say."""
        if len(self.text.encode(errors="surrogatepass")) > LONGEST_TEXT_BYTES:
            raise ValueError(f"text has more than {LONGEST_TEXT_BYTES} bytes")


class Play(Option, frozen=True, kw_only=True):
    """The caller hears these, one after another; `sound:<name>` is one of the switch's own. Answered first."""

    stream_urls: Annotated[list[Uri], Meta(min_length=1, max_length=100)]


class Hangup(Option, frozen=True, kw_only=True):
    """The call is hung up. `reference_id`: with the reason of that call."""

    reason: Literal["", "normal", "failed", "busy", "cancel", "timeout", "noanswer", "dialout", "amd"] = ""
    reference_id: str = ""


class WebhookSend(Option, frozen=True, kw_only=True):
    """`data`, itself JSON text, is sent to `uri`. Unless `sync`, it is retried like an event and not waited for."""

    uri: Uri
    method: Method = "POST"
    data_type: Annotated[str, Meta(pattern=r"^[ -~]*\Z", max_length=255)] = ""
    data: str = ""
    sync: bool = False


class Fetch(Option, frozen=True, kw_only=True):
    """The actions that this address answers with are run next."""

    event_url: Uri
    event_method: Method = "POST"


class FetchFlow(Option, frozen=True, kw_only=True):
    """The actions of another flow are run next."""

    flow_id: Required


class Goto(Option, frozen=True, kw_only=True):
    """The flow goes on at `target_id`, `loop_count` times; then with the following action."""

    target_id: ActionId
    loop_count: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Branch(Option, frozen=True, kw_only=True):
    """The flow goes on where the variable's value says; the variable is cleared."""

    variable: str = ""
    default_target_id: ActionId = ""
    target_ids: dict[str, ActionId] = {}


class ConditionVariable(Option, frozen=True, kw_only=True):
    """`variable`, its `${…}` filled in, is compared. True: the following action."""

    condition: Comparison
    variable: str
    value_type: Literal["string", "number", "length"] = "string"
    value_string: str = ""
    value_number: float = 0
    value_length: int = 0
    false_target_id: ActionId = ""


class ConditionDatetime(Option, frozen=True, kw_only=True):
    """The time in UTC is compared, part by part; -1 is any. `weekdays`: 0 is Sunday, none is any."""

    condition: Comparison
    minute: Annotated[_Field, Meta(le=59)] = -1
    hour: Annotated[_Field, Meta(le=23)] = -1
    day: Annotated[_Field, Meta(le=31)] = -1
    month: Annotated[_Field, Meta(le=12)] = -1
    weekdays: list[Annotated[int, Meta(ge=0, le=6)]] = []
    false_target_id: ActionId = ""


class ConditionCallDigits(Option, frozen=True, kw_only=True):
    """Whether so many digits were typed, or that one is among them."""

    length: Annotated[int, Meta(ge=0)] = 0
    key: str = ""
    false_target_id: ActionId = ""


class ConditionCallStatus(Option, frozen=True, kw_only=True):
    """Whether the call is at this status."""

    status: Literal["dialing", "ringing", "progressing", "terminating", "canceling", "hangup"]
    false_target_id: ActionId = ""


class DigitsReceive(Option, frozen=True, kw_only=True):
    """Digits are awaited: `length` of them, up to `key`, or until `duration` ms pass without one (0: 5 s)."""

    duration: Milliseconds = 0
    key: Annotated[str, Meta(pattern=r"^[0-9*#A-D]?\Z")] = ""
    length: Annotated[int, Meta(ge=0, le=1_000)] = 0


class DigitsSend(Option, frozen=True, kw_only=True):
    """The far end is sent these digits, each for `duration` ms with `interval` ms between."""

    digits: Annotated[str, Meta(pattern=r"^[0-9A-D#*]{1,100}\Z")]
    duration: Annotated[int, Meta(ge=100, le=1_000)] = 250
    interval: Annotated[int, Meta(ge=0, le=5_000)] = 0


class VariableSet(Option, frozen=True, kw_only=True):
    """`${key}` is `value` from now on."""

    key: Required
    value: str = ""


class Sleep(Option, frozen=True, kw_only=True):
    """Nothing happens for `duration` ms."""

    duration: Milliseconds = 0


class Stop(Option, frozen=True, kw_only=True):
    """The flow ends."""


class Empty(Option, frozen=True, kw_only=True):
    """Nothing."""


class Block(Option, frozen=True, kw_only=True):
    """Nothing happens until somebody ends the flow or the call."""


class Beep(Option, frozen=True, kw_only=True):
    """The caller hears a beep."""


class Echo(Option, frozen=True, kw_only=True):
    """The caller hears itself for `duration` ms; 0: until the call ends."""

    duration: Milliseconds = 0


class Mute(Option, frozen=True, kw_only=True):
    """What the call says is not heard, and it hears nothing, until it is unmuted."""


OPTIONS: Mapping[str, type[Option]] = MappingProxyType(
    {
        "answer": Answer,
        "beep": Beep,
        "block": Block,
        "branch": Branch,
        "condition_call_digits": ConditionCallDigits,
        "condition_call_status": ConditionCallStatus,
        "condition_datetime": ConditionDatetime,
        "condition_variable": ConditionVariable,
        "digits_receive": DigitsReceive,
        "digits_send": DigitsSend,
        "echo": Echo,
        "empty": Empty,
        "fetch": Fetch,
        "fetch_flow": FetchFlow,
        "goto": Goto,
        "hangup": Hangup,
        "mute": Mute,
        "play": Play,
        "sleep": Sleep,
        "stop": Stop,
        "stream_echo": Echo,
        "talk": Talk,
        "variable_set": VariableSet,
        "webhook_send": WebhookSend,
    }
)
"""Every type of action that is taken, by name."""

CALL_ONLY = frozenset(
    {
        "answer", "beep", "condition_call_digits", "condition_call_status", "digits_receive", "digits_send", "echo",
        "hangup", "mute", "play", "stream_echo", "talk",
    }
)  # fmt: skip
"""What means nothing to an activeflow that has no call."""


def option_of(action_type: str, option: Mapping[str, Any]) -> Option:
    """What an action says, once its variables are filled in. Raises msgspec.ValidationError if it cannot be read."""
    return msgspec.convert(dict(option), OPTIONS[action_type])
