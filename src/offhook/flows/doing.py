"""What an action is to its call's channel, and for how long it lasts where the flow itself knows."""

from __future__ import annotations

from datetime import timedelta

from offhook.domain.inputs.call import (
    Answers,
    Doing,
    Echoes,
    HangsUp,
    Listens,
    Mutes,
    Plays,
    Sends,
    Speaks,
    Waits,
)
from offhook.flows.options import (
    Answer,
    Beep,
    Block,
    DigitsReceive,
    DigitsSend,
    Echo,
    Fetch,
    Hangup,
    Mute,
    Option,
    Play,
    Sleep,
    Talk,
    WebhookSend,
)

_BEEP = "sound:beep"


def doing_of(option: Option) -> Doing | None:
    """What the call is told to do; None for what nobody can carry out yet."""
    match option:
        case Answer():
            return Answers()
        case Play(stream_urls=stream_urls):
            return Plays(tuple(stream_urls))
        case Talk():
            return Speaks(option.text, option.language, option.voice_id, option.digits_handle, option.is_async)
        case Beep():
            return Plays((_BEEP,))
        case Echo():
            return Echoes()
        case DigitsReceive():
            return Listens()
        case DigitsSend(digits=digits, duration=duration, interval=interval):
            return Sends(digits, duration, interval)
        case Mute():
            return Mutes()
        case Hangup(reason=reason):
            return HangsUp(reason)
        case Sleep() | Block() | Fetch() | WebhookSend(sync=True):
            return Waits()
        case _:
            return None


def lasts(option: Option) -> timedelta | None:
    """How long it takes; None where something else tells its end."""
    match option:
        case Sleep(duration=duration):
            return timedelta(milliseconds=duration)
        case Echo(duration=duration) if duration:
            return timedelta(milliseconds=duration)
        case _:
            return None
