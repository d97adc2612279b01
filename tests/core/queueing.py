"""A small queue, queuecall and agent: not the ones to come, but of their shape, so that the core is tried on cascades.

A queuecall waits in a queue. It asks which agents are free and offers itself to one; an agent takes an offer or refuses
it, and then the next is tried. Whoever took it is rung: a leg is created and dialled. A leg that is answered serves the
queuecall; one that ends frees the agent, which offers itself to who has waited longest. The queue counts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from offhook.domain.draft import Draft
from offhook.domain.events.event import resource_event
from offhook.domain.noun import Entry, Noun
from offhook.domain.step import Broken, Delete, Done, Ended, Found, Lookup, Step, Tell, made_id
from offhook.domain.switch.commands import Create, Dial, HangUp
from offhook.domain.switch.inputs import ChannelAnswered, ChannelEntered, ChannelGone

SWITCH = "asterisk"


class Public(msgspec.Struct, frozen=True):
    """What the customer is shown of any of them."""

    id: str
    status: str
    queuecall_id: str = ""
    agent_id: str = ""
    count: int = 0


class _Draft(Draft[Any]):
    def tell_customer(self, kind: str, event: str, public: Public) -> None:
        self.events.append(
            resource_event(f"{kind}_{event}", public, customer_id=self.state.customer_id, subject=f"{kind}/{public.id}")
        )

    def tell(self, kind: str, row_id: str, told: Any) -> None:
        self.tells.append(Tell(kind, row_id, told))


# Inputs


class Open(msgspec.Struct, frozen=True):
    """Makes a queue."""

    id: str
    customer_id: str


class Counted(msgspec.Struct, frozen=True):
    """One more is in the queue, or one fewer."""

    change: int


class Join(msgspec.Struct, frozen=True):
    """Makes a queuecall."""

    id: str
    customer_id: str
    queue_id: str
    call_id: str


class Refuse(msgspec.Struct, frozen=True):
    """That agent does not take it. `tried` are all who did not."""

    tried: tuple[str, ...]


class Taken(msgspec.Struct, frozen=True):
    """That agent takes it, and is being rung."""

    agent_id: str


class Served(msgspec.Struct, frozen=True):
    """Agent and caller talk."""


class AgentLeft(msgspec.Struct, frozen=True):
    """The agent's leg ended."""


class CallerLeft(msgspec.Struct, frozen=True):
    """The caller hung up."""


class AgentFree(msgspec.Struct, frozen=True):
    """An agent has nothing to do."""

    agent_id: str


class LogIn(msgspec.Struct, frozen=True):
    """Makes an agent, who is free."""

    id: str
    customer_id: str


class LogOut(msgspec.Struct, frozen=True):
    """The agent leaves for good."""


class Offer(msgspec.Struct, frozen=True):
    """A queuecall wants this agent. `tried` are those who did not take it."""

    queuecall_id: str
    tried: tuple[str, ...] = ()


class Drop(msgspec.Struct, frozen=True):
    """A queuecall does not want this agent any more."""

    queuecall_id: str


# The queue


class Queue(msgspec.Struct, frozen=True):
    """How many are in it; who they are is a lookup."""

    id: str
    customer_id: str
    count: int = 0
    is_closed: bool = False


def _decide_queue(state: Queue | None, told: Any, now: datetime) -> Step[Queue]:
    if state is None:
        return Step(Queue(told.id, told.customer_id))
    draft = _Draft(state, now)
    match told:
        case Counted(change=change):
            draft.change(count=state.count + change)
            draft.tell_customer("queue", "updated", Public(state.id, "open", count=draft.state.count))
        case Delete() if not state.is_closed:
            draft.change(is_closed=True)
    return draft.step()


QUEUE: Noun[Queue] = Noun(
    kind="queue",
    state_type=Queue,
    decide=_decide_queue,
    is_final=lambda state: state.is_closed,
    broken=lambda state, told, now: Step(msgspec.structs.replace(state, is_closed=True)),
    customer_of=lambda state: state.customer_id,
    creates=(Open,),
)


# The queuecall


class Queuecall(msgspec.Struct, frozen=True):
    """`waiting`, `connecting` (an agent is rung), `service`, and at last `done` or `abandoned`."""

    id: str
    customer_id: str
    queue_id: str
    call_id: str
    rank: int
    status: str = "waiting"
    agent_id: str = ""
    tried: tuple[str, ...] = ()


_OVER = ("done", "abandoned")


class _QueuecallDraft(_Draft):
    def move(self, status: str, event: str, **fields: Any) -> None:
        self.change(status=status, **fields)
        self.tell_customer("queuecall", event, Public(self.state.id, status, agent_id=self.state.agent_id))

    def leave(self, status: str) -> None:
        self.move(status, status)
        self.tell("queue", self.state.queue_id, Counted(-1))


def _decide_queuecall(state: Queuecall | None, told: Any, now: datetime) -> Step[Queuecall]:  # noqa: C901 a table of moves
    if state is None:
        rank = int(now.timestamp() * 1_000_000)
        draft = _QueuecallDraft(Queuecall(told.id, told.customer_id, told.queue_id, told.call_id, rank), now)
        draft.tell_customer("queuecall", "created", Public(told.id, "waiting"))
        draft.tell("queue", told.queue_id, Counted(1))
        return msgspec.structs.replace(draft.step(), lookup=_free_agents(told.customer_id))
    draft = _QueuecallDraft(state, now)
    match told, state.status:
        case Found(ids=ids), "waiting":
            agent_id = next((one for one in ids if one not in state.tried), None)
            if agent_id is not None:
                draft.tell("agent", agent_id, Offer(state.id, state.tried))
        case AgentFree(agent_id=agent_id), "waiting":
            draft.tell("agent", agent_id, Offer(state.id))
        case Refuse(tried=tried), "waiting":
            draft.change(tried=tried)
            return msgspec.structs.replace(draft.step(), lookup=_free_agents(state.customer_id))
        case Taken(agent_id=agent_id), "waiting":
            draft.move("connecting", "kicking", agent_id=agent_id, tried=())
        case Taken(agent_id=agent_id), _:
            draft.tell("agent", agent_id, Drop(state.id))
        case Served(), "connecting":
            draft.move("service", "serviced")
        case AgentLeft(), "connecting":
            draft.move("waiting", "waiting", agent_id="")
            return msgspec.structs.replace(draft.step(), lookup=_free_agents(state.customer_id))
        case AgentLeft(), "service":
            draft.leave("done")
        case CallerLeft(), "service":
            draft.tell("agent", state.agent_id, Drop(state.id))
            draft.leave("done")
        case CallerLeft(), _:
            if state.agent_id:
                draft.tell("agent", state.agent_id, Drop(state.id))
            draft.leave("abandoned")
    return draft.step()


def _broken_queuecall(state: Queuecall, told: Broken, now: datetime) -> Step[Queuecall]:
    draft = _QueuecallDraft(state, now)
    draft.leave("abandoned")
    return draft.step()


def _free_agents(customer_id: str) -> Lookup:
    return Lookup("agent", "free", customer_id, limit=3)


QUEUECALL: Noun[Queuecall] = Noun(
    kind="queuecall",
    state_type=Queuecall,
    decide=_decide_queuecall,
    is_final=lambda state: state.status in _OVER,
    broken=_broken_queuecall,
    customer_of=lambda state: state.customer_id,
    creates=(Join,),
    forgives=(CallerLeft,),
    indexes={
        "waiting": lambda state: (Entry(state.customer_id, state.rank),) if state.status == "waiting" else (),
        "call": lambda state: (Entry(state.call_id),),
    },
)


# The agent


class Agent(msgspec.Struct, frozen=True):
    """`free`, `ringing`, `busy`, `ending` (its leg was hung up and is not gone yet), or `out` for good."""

    id: str
    customer_id: str
    made: int = 0
    status: str = "free"
    queuecall_id: str = ""
    leg_id: str = ""
    leaves: bool = False


class _AgentDraft(_Draft):
    def move(self, status: str, **fields: Any) -> None:
        self.change(status=status, **fields)
        self.tell_customer(
            "agent", "status_updated", Public(self.state.id, status, queuecall_id=self.state.queuecall_id)
        )

    def new_id(self) -> str:
        self.change(made=self.state.made + 1)
        return made_id(self.state.id, self.state.made)

    def command(self, kind: Any, **fields: Any) -> None:
        self.commands.append(kind(id=self.new_id(), switch=SWITCH, channel_id=self.state.leg_id, **fields))

    def end_leg(self) -> None:
        self.move("ending")
        self.command(HangUp)

    def leg_gone(self) -> Step[Agent]:
        if self.state.queuecall_id:
            self.tell("queuecall", self.state.queuecall_id, AgentLeft())
        if self.state.leaves:
            self.move("out", queuecall_id="", leg_id="")
            return self.step()
        self.move("free", queuecall_id="", leg_id="")
        lookup = Lookup("queuecall", "waiting", self.state.customer_id, limit=1)
        return msgspec.structs.replace(self.step(), lookup=lookup)


def _decide_agent(state: Agent | None, told: Any, now: datetime) -> Step[Agent]:  # noqa: C901 a table of moves
    if state is None:
        draft = _AgentDraft(Agent(told.id, told.customer_id), now)
        return msgspec.structs.replace(draft.step(), lookup=Lookup("queuecall", "waiting", told.customer_id, limit=1))
    draft = _AgentDraft(state, now)
    match told, state.status:
        case Found(ids=ids), "free":
            for queuecall_id in ids:
                draft.tell("queuecall", queuecall_id, AgentFree(state.id))
        case Offer(queuecall_id=queuecall_id), "free":
            leg_id = draft.new_id()
            draft.move("ringing", queuecall_id=queuecall_id, leg_id=leg_id)
            draft.command(Create, endpoint="agent")
            draft.tell("queuecall", queuecall_id, Taken(state.id))
        case Offer(queuecall_id=queuecall_id, tried=tried), _ if queuecall_id != state.queuecall_id:
            draft.tell("queuecall", queuecall_id, Refuse((*tried, state.id)))
        case ChannelEntered(channel_id=channel_id), "ringing" if channel_id == state.leg_id:
            draft.command(Dial)
        case ChannelAnswered(channel_id=channel_id), "ringing" if channel_id == state.leg_id:
            draft.move("busy")
            draft.tell("queuecall", state.queuecall_id, Served())
        case Drop(queuecall_id=queuecall_id), "ringing" | "busy" if queuecall_id == state.queuecall_id:
            draft.change(queuecall_id="")
            draft.end_leg()
        case ChannelGone(channel_id=channel_id), _ if channel_id == state.leg_id:
            return draft.leg_gone()
        case Ended(command=Create() | Dial(), outcome=outcome), "ringing" if not isinstance(outcome, Done):
            draft.end_leg()
        case LogOut(), "free":
            draft.move("out")
        case LogOut(), "ringing" | "busy":
            draft.change(leaves=True)
            draft.end_leg()
        case LogOut(), "ending":
            draft.change(leaves=True)
    return draft.step()


def _broken_agent(state: Agent, told: Broken, now: datetime) -> Step[Agent]:
    draft = _AgentDraft(state, now)
    if state.queuecall_id:
        draft.tell("queuecall", state.queuecall_id, AgentLeft())
    if state.leg_id:
        draft.command(HangUp)
    draft.move("out", queuecall_id="", leg_id="")
    return draft.step()


AGENT: Noun[Agent] = Noun(
    kind="agent",
    state_type=Agent,
    decide=_decide_agent,
    is_final=lambda state: state.status == "out",
    broken=_broken_agent,
    customer_of=lambda state: state.customer_id,
    creates=(LogIn,),
    indexes={"free": lambda state: (Entry(state.customer_id),) if state.status == "free" else ()},
)
