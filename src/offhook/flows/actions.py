"""The actions and their options (facts, section on flows): what each means to whoever runs it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from offhook.domain.catalogue.fields import Action
from offhook.domain.inputs.call import Answers, Doing, Echoes, Plays, Waits


class Sleep(msgspec.Struct, frozen=True, tag_field="type", tag="sleep"):
    """Nothing happens for `duration` milliseconds."""

    duration: int = 0


class Answer(msgspec.Struct, frozen=True, tag_field="type", tag="answer"):
    """The call is answered."""


class Play(msgspec.Struct, frozen=True, tag_field="type", tag="play"):
    """The caller hears these, one after another; `sound:<name>` is one of the switch's own."""

    stream_urls: list[str]


class Echo(msgspec.Struct, frozen=True, tag_field="type", tag="echo"):
    """The caller hears itself, until the call ends."""


Option = Sleep | Answer | Play | Echo
_ANY: Any = Option


def option_of(action: Action) -> Option:
    """What an action says. Raises msgspec.ValidationError for an unknown type or a bad option."""
    option: Option = msgspec.convert({**action.option, "type": action.type}, _ANY)
    return option


def doing_of(option: Option) -> Doing:
    """What it is to the call's channel."""
    match option:
        case Sleep():
            return Waits()
        case Answer():
            return Answers()
        case Play(stream_urls=stream_urls):
            return Plays(tuple(stream_urls))
        case Echo():
            return Echoes()


def lasts(option: Option) -> timedelta | None:
    """How long it takes, where the flow itself knows."""
    return timedelta(milliseconds=option.duration) if isinstance(option, Sleep) else None
