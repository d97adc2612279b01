"""Whole cascades through the core: a queue, its callers and its agents, in one commit each or none."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.domain.noun import registry
from offhook.domain.step import Begun, Done, Ended, Tell, Unavailable
from offhook.domain.switch.commands import Create, Dial, HangUp, SwitchCommand
from offhook.domain.switch.inputs import ChannelAnswered, ChannelEntered, ChannelGone
from offhook.store.commit.unit import Unit
from tests.core.machine import Machine
from tests.core.queueing import (
    AGENT,
    QUEUE,
    QUEUECALL,
    SWITCH,
    CallerLeft,
    Join,
    LogIn,
    LogOut,
    Open,
)

CUSTOMER = "2b1f6f0a-7c1d-4a53-9f5e-6f3f0c9a1e01"
NOUNS = registry(QUEUE, QUEUECALL, AGENT)


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


QUEUES = [uuid_of(1), uuid_of(2)]
AGENTS = [uuid_of(11), uuid_of(12)]
CALLERS = [uuid_of(number) for number in range(21, 27)]


class Hall(Machine):
    """Queues, agents and callers."""

    def __init__(self, agent_count: int = 1) -> None:
        super().__init__(NOUNS, SwitchCommand)
        for queue_id in QUEUES:
            self.tell("queue", queue_id, Open(queue_id, CUSTOMER))
        for agent_id in AGENTS[:agent_count]:
            self.tell("agent", agent_id, LogIn(agent_id, CUSTOMER))

    def join(self, number: int, queue: int = 0) -> str:
        self.now += timedelta(seconds=1)
        queuecall_id = CALLERS[number]
        self.tell("queuecall", queuecall_id, self.joining(number, queue).input)
        return queuecall_id

    def joining(self, number: int, queue: int = 0) -> Tell:
        return Tell("queuecall", CALLERS[number], Join(CALLERS[number], CUSTOMER, QUEUES[queue], CALLERS[number]))

    def leg(self, agent: int = 0) -> str:
        found: str = self.state("agent", AGENTS[agent]).leg_id
        return found

    def statuses(self) -> dict[str, str]:
        return {
            row_id: self.state(kind, row_id).status for kind, row_id in sorted(self.rows.kept) if kind == "queuecall"
        }

    def rings(self, agent: int = 0) -> None:
        self.end(Create)
        self.tell("agent", AGENTS[agent], ChannelEntered(SWITCH, self.leg(agent)))
        self.end(Dial)

    def end(self, kind: type) -> None:
        order = next(order for order in self.pending() if isinstance(order.pending.command, kind))
        self.ended(order, Done())

    def count(self, queue: int = 0) -> int:
        found: int = self.state("queue", QUEUES[queue]).count
        return found


def test_a_caller_who_hangs_up_while_the_agent_rings_is_one_commit() -> None:
    hall = Hall()
    caller = hall.join(0)
    hall.rings()
    leg = hall.leg()
    before_events, before_orders = len(hall.events), len(hall.orders)
    hall.tell("queuecall", caller, CallerLeft())
    assert sorted(hall.types()[before_events:]) == ["agent_status_updated", "queue_updated", "queuecall_abandoned"]
    assert [type(order.pending.command) for order in hall.orders[before_orders:]] == [HangUp]
    assert hall.state("agent", AGENTS[0]).status == "ending"
    # It is free when its leg is gone, not when it was told to hang up.
    waiting = hall.join(1)
    assert hall.statuses()[waiting] == "waiting"
    hall.tell("agent", AGENTS[0], ChannelGone(SWITCH, leg))
    assert hall.statuses()[waiting] == "connecting"


def test_an_answer_and_a_hang_up_in_one_group_are_decided_in_their_order() -> None:
    for answer_first in (True, False):
        hall = Hall()
        caller = hall.join(0)
        hall.rings()
        units = [
            hall.unit(Tell("agent", AGENTS[0], ChannelAnswered(SWITCH, hall.leg()))),
            hall.unit(Tell("queuecall", caller, CallerLeft())),
        ]
        hall.group(*(units if answer_first else reversed(units)))
        types = hall.types("queuecall/")
        assert types[-1] == ("queuecall_done" if answer_first else "queuecall_abandoned")
        assert ("queuecall_serviced" in types) == answer_first
        assert hall.count() == 0
        assert hall.state("agent", AGENTS[0]).status == "ending"


def test_two_queues_and_one_agent_who_goes_from_one_caller_to_the_next_in_one_commit() -> None:
    hall = Hall()
    first, second = hall.join(0, 0), hall.join(1, 1)
    assert hall.statuses() == {first: "connecting", second: "waiting"}
    hall.rings()
    hall.tell("agent", AGENTS[0], ChannelAnswered(SWITCH, hall.leg()))
    leg = hall.leg()
    hall.tell("queuecall", first, CallerLeft())
    hall.end(HangUp)
    assert hall.statuses() == {first: "done", second: "waiting"}
    before = len(hall.events)
    hall.tell("agent", AGENTS[0], ChannelGone(SWITCH, leg))
    assert hall.types()[before:] == ["agent_status_updated", "agent_status_updated", "queuecall_kicking"]
    assert hall.leg() != leg


def test_two_callers_who_come_in_one_group_do_not_get_the_same_agent() -> None:
    hall = Hall(agent_count=2)
    hall.group(*(hall.unit(hall.joining(number)) for number in range(3)))
    assert Counter(hall.statuses().values()) == {"connecting": 2, "waiting": 1}
    assert hall.leg(0)
    assert hall.leg(1)


def test_whoever_comes_in_the_group_in_which_an_agent_becomes_free_is_rung() -> None:
    """Neither is in the database yet as it is now: the lookup sees what the group has decided."""
    hall = Hall()
    first = hall.join(0)
    leg = hall.leg()
    hall.tell("queuecall", first, CallerLeft())
    units = [hall.unit(Tell("agent", AGENTS[0], ChannelGone(SWITCH, leg))), hall.unit(hall.joining(1))]
    hall.group(*units)
    assert hall.statuses()[CALLERS[1]] == "connecting"


def test_whoever_has_waited_longest_is_next_however_many_wait() -> None:
    hall = Hall(agent_count=0)
    waiting = [hall.join(number) for number in range(6)]
    gone = [hall.unit(Tell("queuecall", queuecall_id, CallerLeft())) for queuecall_id in waiting[:5]]
    hall.group(*gone, hall.unit(Tell("agent", AGENTS[0], LogIn(AGENTS[0], CUSTOMER))))
    assert hall.statuses()[waiting[5]] == "connecting"


def check(hall: Hall) -> None:
    """No agent with two callers, no caller with two agents, nobody forgotten, every count right."""
    queuecalls = {row_id: hall.state("queuecall", row_id) for row_id in hall.statuses()}
    agents = {row_id: hall.state("agent", row_id) for kind, row_id in hall.rows.kept if kind == "agent"}
    for queuecall_id, queuecall in queuecalls.items():
        if queuecall.status in ("connecting", "service"):
            assert agents[queuecall.agent_id].queuecall_id == queuecall_id
    talking = [queuecall.agent_id for queuecall in queuecalls.values() if queuecall.status in ("connecting", "service")]
    assert len(talking) == len(set(talking))
    if any(agent.status == "free" for agent in agents.values()):
        assert not any(queuecall.status == "waiting" and not queuecall.tried for queuecall in queuecalls.values())
    for number, queue_id in enumerate(QUEUES):
        here = [one for one in queuecalls.values() if one.queue_id == queue_id]
        assert hall.count(number) == sum(one.status not in ("done", "abandoned") for one in here)
    ends = Counter(subject for type_, subject, _ in hall.events if type_ in ("queuecall_done", "queuecall_abandoned"))
    assert set(ends.values()) <= {1}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, 80))
def test_whatever_happens_no_agent_has_two_callers_and_nobody_is_forgotten(seed: int, count: int) -> None:
    random, hall = Random(seed), Hall(agent_count=2)
    for _ in range(count):
        units = [unit for _ in range(random.choice((1, 1, 1, 4))) for unit in something(hall, random)]
        hall.group(*units)
        check(hall)
    for queuecall_id in hall.statuses():
        hall.tell("queuecall", queuecall_id, CallerLeft())
    for order in hall.pending():
        hall.ended(order, Done())
    for agent_id in AGENTS:
        hall.tell("agent", agent_id, ChannelGone(SWITCH, hall.state("agent", agent_id).leg_id))
    check(hall)
    assert hall.pending() == []
    assert [hall.state("agent", agent_id).status in ("free", "out") for agent_id in AGENTS] == [True, True]
    assert not any(result.faults for result in hall.results)


def something(hall: Hall, random: Random) -> list[Unit]:
    """Units that may or may not make sense now; some twice."""
    hall.now += timedelta(seconds=random.choice((0, 1)))
    agent = random.randrange(2)
    state = hall.state("agent", AGENTS[agent])
    number = random.randrange(len(CALLERS))
    tells = [
        hall.joining(number, number % 2),
        hall.joining(number, number % 2),
        Tell("queuecall", CALLERS[number], CallerLeft()),
        Tell("agent", AGENTS[agent], ChannelEntered(SWITCH, state.leg_id)),
        Tell("agent", AGENTS[agent], ChannelAnswered(SWITCH, state.leg_id)),
        Tell("agent", AGENTS[agent], ChannelGone(SWITCH, state.leg_id)),
    ]
    if random.random() < 0.02:
        tells.append(Tell("agent", AGENTS[agent], LogOut()))
    for order in hall.pending()[:1]:
        outcome = Done() if random.random() < 0.8 else Unavailable()
        tells += [
            Tell(order.kind, order.id, Begun(order.pending.command.id)),
            Tell(order.kind, order.id, Ended(order.pending.command, outcome)),
        ]
    told = random.choice(tells)
    return [hall.unit(told)] * random.choice((1, 1, 2))
