"""What the generic code has to know of a noun: its line in the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from offhook.domain.step import Broken, Step

S = TypeVar("S")


class Entry(NamedTuple):
    """A row's place in one of its kind's indexes: found by `key`, lowest `rank` first."""

    key: str
    rank: int = 0


class OwnWebhook(NamedTuple):
    """A further address, beside the customer's, for the events that carry this activeflow's id."""

    activeflow_id: str
    uri: str
    method: str


Index = Callable[[S], Iterable[Entry]]
"""Where a state stands in an index: nowhere, once, or under several keys. Pure, and cheap: it runs at each write."""


def no_webhook(state: Any) -> OwnWebhook | None:
    """Most nouns have none."""
    del state
    return None


def never(state: Any) -> bool:
    """Of most nouns nothing is hidden."""
    del state
    return False


def nothing(state: Any) -> str:
    """What the timers of most nouns wait for."""
    del state
    return ""


_NO_INDEXES: Mapping[str, Index[Any]] = MappingProxyType({})


class Noun(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """How one kind of thing lives.

    `decide(None, input, now)` is asked only for the types in `creates`, and only while there is no row; it gives the
    new row's state. Every other input comes with the state there is. A `decide` ignores what makes no sense now: it
    gives the state that it got, and nothing else. `broken` ends the row as failed, so that `is_final` is true after it.
    `forgives` are inputs that a final row answers with its state; any other from REST is a 409.
    `customer_of` is "" for rows that belong to no customer (a carrier's), which may be told by any unit.
    `indexes` are what `Step.lookup` may name. A final row is in none.
    `is_hidden` says whether REST shows a row no more (it was deleted).
    `waits_for` names what has to be within reach for a row's timers to go (a switch), "" if nothing.
    `own_webhook` is made with the row, and hears of its first event already.
    `lives` says whether something happens by itself while it is not final: only then has a start to take its rows up.
    """

    kind: str
    state_type: type[S]
    decide: Callable[[S | None, Any, datetime], Step[S]]
    is_final: Callable[[S], bool]
    broken: Callable[[S, Broken, datetime], Step[S]]
    customer_of: Callable[[S], str]
    creates: tuple[type, ...]
    forgives: tuple[type, ...] = ()
    indexes: Mapping[str, Index[S]] = _NO_INDEXES
    is_hidden: Callable[[S], bool] = never
    waits_for: Callable[[S], str] = nothing
    own_webhook: Callable[[S], OwnWebhook | None] = no_webhook
    lives: bool = True


Nouns = Mapping[str, Noun[Any]]
"""The registry: every noun by its kind."""

NO_NOUNS: Nouns = MappingProxyType({})


def registry(*nouns: Noun[Any]) -> Nouns:
    """The registry of these nouns."""
    found = {noun.kind: noun for noun in nouns}
    assert len(found) == len(nouns), "two nouns of one kind"
    return MappingProxyType(found)
