"""Stories of several calls: in any order, doubled, delayed, lost; commands that fail; kills, cuts and deaths.

What stands between the rules and the switch (lanes, hearing, reconciling) is played here in the smallest form that
keeps its promises.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any, get_args

from offhook.domain.catalogue.fields import Action
from offhook.domain.inputs.call import Control, HangUpAsked, Lost, MuteAsked, Present, SoundAsked
from offhook.domain.speech import Speak
from offhook.domain.step import (
    Absent,
    Begun,
    Done,
    Due,
    Ended,
    Outcome,
    Policy,
    Refused,
    Superseded,
    Tell,
    Unavailable,
    Unknown,
    made_id,
)
from offhook.domain.switch.commands import HangUp
from offhook.domain.switch.inputs import (
    ChannelArrived,
    ChannelGone,
    ChannelHeld,
    ChannelUnheld,
    DigitReceived,
    SwitchInput,
)
from offhook.store.commit.port import Order
from offhook.store.commit.unit import Unit
from tests.core.asterisk import Asterisk
from tests.core.calls import GREETING, SWITCH, Calls, arrived
from tests.core.machine import Key
from tests.core.test_controls import Direction, Sound

CONTROLS: list[Control] = [
    *(SoundAsked(sound, is_on) for sound in get_args(Sound) for is_on in (True, False)),
    *(MuteAsked(direction, is_on) for direction in get_args(Direction) for is_on in (True, False)),
]
NAMESPACE = "c0a8f4d2-6e1b-4d37-b952-1f8e7a3c5d05"


class Story:
    """One node and one switch. `inbox` is what was heard and not decided, in order."""

    def __init__(self, random: Random, *, fault_rate: float = 0.15, actions: tuple[Action, ...] = GREETING) -> None:
        self.random = random
        self.actions = actions
        self.fault_rate = fault_rate
        self.calls = Calls()
        self.asterisk = Asterisk()
        self.outcomes: list[tuple[Order, Outcome]] = []
        self.carried_out: set[str] = set()  # in this process's life
        self.has_lost = False
        self.caller_count = 0

    # What may happen

    def caller_comes(self) -> None:
        if self.caller_count < 3:
            self.caller_count += 1
            self.asterisk.call(f"17724420{self.caller_count:02}.1")

    def caller_leaves(self) -> None:
        if self.asterisk.callers():
            self.asterisk.destroy(self.random.choice(self.asterisk.callers()))

    def we_hang_up(self) -> None:
        call_ids = sorted(row_id for kind, row_id in self.calls.rows.kept if kind == "call")
        if call_ids:
            self.calls.ask("call", self.random.choice(call_ids), HangUpAsked())

    def we_turn_something_on_or_off(self) -> None:
        if self.open_calls():
            self.calls.ask(*self.random.choice(self.open_calls()), self.random.choice(CONTROLS))

    def a_phone_holds(self) -> None:
        if self.asterisk.callers():
            told = self.random.choice((ChannelHeld, ChannelUnheld))
            self.asterisk.told.append(told(SWITCH, self.random.choice(self.asterisk.callers())))

    def command_is_carried_out(self) -> None:
        waiting = self._next_in_lanes()
        if not waiting:
            return
        order = self.random.choice(waiting)
        command = order.pending.command
        if command.policy is Policy.MARK:
            if order.pending.begun:
                self._ends(order, self.asterisk.look(command))
                return
            self.calls.tell(order.kind, order.id, Begun(command.id))
        if self.random.random() < self.fault_rate:
            self._ends(order, self._fault(command))
        else:
            self._ends(order, self._carry_out(command))

    def outcome_is_told(self) -> None:
        if self.outcomes:
            # Of one lane in its order: else a hang-up could be over before what it superseded is known to be.
            lane = self.random.choice(self.outcomes)[0].pending.command.lane
            place = next(n for n, (one, _) in enumerate(self.outcomes) if one.pending.command.lane == lane)
            order, outcome = self.outcomes.pop(place)
            self.calls.ended(order, outcome)
            if self.random.random() < self.fault_rate:
                self.calls.ended(order, outcome)

    def switch_is_heard(self) -> None:
        if self.asterisk.told:
            late = self.random.random() < self.fault_rate
            place = self.random.randrange(len(self.asterisk.told)) if late else 0
            told = self.asterisk.told.pop(place)
            if self.random.random() < self.fault_rate / 3:
                self.has_lost = True
                return
            self._hear(told)
            if self.random.random() < self.fault_rate:
                self._hear(told)

    def a_whole_batch_is_heard(self) -> None:
        told, self.asterisk.told = self.asterisk.told, []
        units: list[Unit] = []
        for one in told:
            units += [self.calls.unit(tell) for tell in self._sorted(one)]
        units += [
            self.calls.unit(Tell(order.kind, order.id, Ended(order.pending.command, outcome)))
            for order, outcome in self.outcomes
        ]
        self.outcomes.clear()
        self.calls.group(*units)

    def time_passes(self) -> None:
        self.calls.wait(timedelta(seconds=self.random.choice((0, 0.05, 0.5, 2, 20))))

    def channels_enter(self) -> None:
        self.asterisk.let_enter()

    def playback_ends(self) -> None:
        if self.asterisk.playbacks:
            failed = self.random.random() < self.fault_rate
            self.asterisk.end_playback(self.random.choice(sorted(self.asterisk.playbacks)), has_failed=failed)

    def caller_types(self) -> None:
        if self.asterisk.callers():
            self.asterisk.told.append(DigitReceived(SWITCH, self.random.choice(self.asterisk.callers()), "1"))

    def stream_is_cut(self) -> None:
        self.asterisk.told.clear()
        self.reconcile()

    def server_is_killed(self) -> None:
        self.asterisk.told.clear()
        self.outcomes.clear()
        self.carried_out.clear()
        for at, key, name in self.calls.timers():
            if at <= self.calls.now:
                self.calls.tell(*key, Due(name, at))
        self.reconcile()

    def asterisk_dies(self) -> None:
        self.asterisk.die()
        for key in self.open_calls():
            self.calls.tell(*key, Lost())

    def go_on(self, *, count: int) -> None:
        """Let that many things happen."""
        often = [
            *[self.command_is_carried_out] * 10,
            *[self.outcome_is_told] * 8,
            *[self.switch_is_heard] * 8,
            *[self.time_passes] * 3,
            *[self.channels_enter] * 3,
            *[self.playback_ends] * 2,
            self.caller_types,
            self.we_turn_something_on_or_off,
            self.a_phone_holds,
            self.a_whole_batch_is_heard,
        ]
        seldom = [
            *[self.server_is_killed] * 6,
            *[self.stream_is_cut] * 6,
            *[self.caller_comes] * 3,
            *[self.we_hang_up] * 2,
            *[self.caller_leaves] * 2,
            self.asterisk_dies,
        ]
        for _ in range(count):
            self.random.choice(seldom if self.random.random() < self.fault_rate / 6 else often)()

    # What makes an end of it

    def settle(self) -> None:
        """From now on all goes well: everything is heard and carried out, and time enough passes."""
        self.fault_rate = 0
        if self.has_lost:
            self.stream_is_cut()
        for _ in range(60):
            for _ in range(200):
                if not (self._next_in_lanes() or self.outcomes or self.asterisk.told):
                    break
                self.command_is_carried_out()
                self.asterisk.let_enter()
                self.outcome_is_told()
                self.switch_is_heard()
            for playback_id in list(self.asterisk.playbacks):
                self.asterisk.end_playback(playback_id)
            self.calls.wait(timedelta(seconds=1))

    def open_calls(self) -> list[Key]:
        """Those that are not over."""
        return sorted(
            key for key in self.calls.rows.open if key[0] == "call" and self.calls.state(*key).call.status != "hangup"
        )

    def reconcile(self) -> None:
        """What the switch has against what we know."""
        created = self.asterisk.created()
        known = set()
        for key in self.open_calls():
            channel_id = self.calls.state(*key).channel_id
            known.add(channel_id)
            if channel_id in self.asterisk.legs:
                self.calls.tell(*key, Present(self.asterisk.legs[channel_id].is_up, created))
            else:
                self.calls.tell(*key, ChannelGone(SWITCH, channel_id))
        for channel_id in self.asterisk.callers():
            if channel_id not in known:
                self._hear(ChannelArrived(self.asterisk.caller(channel_id)))
        self.has_lost = False

    def _hear(self, told: SwitchInput) -> None:
        for tell in self._sorted(told):
            self.calls.group(self.calls.unit(tell))

    def _sorted(self, told: Any) -> list[Tell]:
        """To the rows that it is for."""
        if isinstance(told, ChannelArrived):
            call_id = call_of(told.channel.id)
            return [
                Tell("call", call_id, arrived(call_id, told.channel.id, is_up=told.channel.is_up, actions=self.actions))
            ]
        return [Tell(*key, told) for key in self.open_calls() if told.channel_id in self.calls.state(*key).channels]

    def _next_in_lanes(self) -> list[Order]:
        """The first of each lane that is not under way; what a hang-up supersedes is told so."""
        lanes: dict[str, list[Order]] = {}
        for order in self.calls.pending():
            lanes.setdefault(order.pending.command.lane, []).append(order)
        first = []
        for orders in lanes.values():
            under_way = [order for order in orders if order.pending.command.id in self.carried_out]
            waiting = [order for order in orders if order.pending.command.id not in self.carried_out]
            last = max((n for n, order in enumerate(waiting) if order.pending.command.supersedes), default=0)
            for order in waiting[:last]:
                if not order.pending.command.tidies and not order.pending.begun:
                    self._ends(order, Superseded())
            waiting = [order for order in waiting if order.pending.command.id not in self.carried_out]
            if waiting and not under_way:
                first.append(waiting[0])
        return first

    def _ends(self, order: Order, outcome: Outcome) -> None:
        self.carried_out.add(order.pending.command.id)
        self.outcomes.append((order, outcome))

    def _carry_out(self, command: Any) -> Outcome:
        # The same text is the same sound, however often it is made.
        return Done(f"sound:/speech/{command.text}") if isinstance(command, Speak) else self.asterisk.carry_out(command)

    def _fault(self, command: Any) -> Outcome:
        was_sent = not isinstance(command, Speak) and self.random.random() < 0.5
        outcome = self.asterisk.carry_out(command) if was_sent else Done()
        if isinstance(command, HangUp):
            return outcome if was_sent else self.asterisk.carry_out(command)
        if isinstance(outcome, Absent):
            return outcome
        return self.random.choice((Unavailable(), Unknown(), Refused("Allocation failed")))


def call_of(channel_id: str) -> str:
    return made_id(NAMESPACE, int(channel_id.split(".")[0]))
