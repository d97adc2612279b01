"""Calls on a switch that the test plays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from offhook.domain.catalogue.fields import Action
from offhook.domain.inputs.call import Arrived, HangUpAsked
from offhook.domain.noun import Nouns
from offhook.domain.step import Done, Outcome, made_id
from offhook.domain.switch.inputs import (
    Channel,
    ChannelAnswered,
    ChannelEntered,
    ChannelGone,
    PlaybackFinished,
)
from offhook.flows.greeting import greeting
from offhook.telephony.nouns import COMMAND_TYPE
from offhook.telephony.nouns import NOUNS as NOUNS
from tests.core.machine import Machine

SWITCH = "asterisk"
CUSTOMER = "2b1f6f0a-7c1d-4a53-9f5e-6f3f0c9a1e01"
CALL_ID = "c0a8f4d2-6e1b-4d37-b952-1f8e7a3c5d05"
FLOW_ID = made_id(CALL_ID, 1)
CHANNEL = "1772442007.12"
RING_TIME = timedelta(seconds=2)
GREETING = greeting(RING_TIME, "hello-world")


def channel(channel_id: str = CHANNEL, *, is_up: bool = False) -> Channel:
    return Channel(SWITCH, channel_id, is_up, "R. Miller", "+15550100123", "+15550100200")


def arrived(
    call_id: str = CALL_ID,
    channel_id: str = CHANNEL,
    *,
    actions: tuple[Action, ...] = GREETING,
    is_up: bool = False,
    **how: Any,
) -> Arrived:
    return Arrived(call_id, CUSTOMER, channel(channel_id, is_up=is_up), actions, **how)


class Calls(Machine):
    """A machine with one caller."""

    def __init__(self, nouns: Nouns = NOUNS, command_type: Any = COMMAND_TYPE) -> None:
        super().__init__(nouns, command_type)

    def arrive(self, **how: Any) -> None:
        self.tell("call", CALL_ID, arrived(**how))

    def hear(self, told: Any) -> None:
        self.tell("call", CALL_ID, told)

    def end(self, kind: type, outcome: Outcome | None = None) -> Any:
        """The oldest pending command of that kind ends."""
        order = next(order for order in self.pending() if isinstance(order.pending.command, kind))
        self.ended(order, outcome or Done())
        return order.pending.command

    def pending_kinds(self) -> list[str]:
        return [type(order.pending.command).__name__ for order in self.pending()]

    def end_all(self) -> None:
        """Everything that is pending is carried out."""
        for order in self.pending():
            self.ended(order, Done())

    def up(self, channel_id: str = CHANNEL) -> None:
        self.hear(ChannelAnswered(SWITCH, channel_id))

    def entered(self, channel_id: str) -> None:
        self.hear(ChannelEntered(SWITCH, channel_id))

    def gone(self, channel_id: str = CHANNEL, cause: int = 0, tech_cause: int = 0) -> None:
        self.hear(ChannelGone(SWITCH, channel_id, cause, tech_cause))

    def played(self, playback_id: str, *, has_failed: bool = False) -> None:
        self.hear(PlaybackFinished(SWITCH, CHANNEL, playback_id, has_failed))

    def hang_up(self) -> Any:
        return self.ask("call", CALL_ID, HangUpAsked())

    @property
    def call(self) -> Any:
        return self.state("call", CALL_ID).call

    @property
    def work(self) -> Any:
        return self.state("call", CALL_ID).work

    @property
    def flow(self) -> Any:
        return self.state("activeflow", FLOW_ID).activeflow
