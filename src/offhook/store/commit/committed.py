"""What a commit tells everyone who subscribed to the store."""

from __future__ import annotations

import msgspec

from offhook.domain.delivery.delivery import Delivery, Destination
from offhook.domain.events.event import Event
from offhook.store.commit.port import Order, Write


class Committed(msgspec.Struct):
    """What one commit made durable, in order: told to everyone who subscribed to the store.

    `changed` are destinations whose uri, method, secrets or state is another now; `woken` those that have pending
    deliveries which are not in `deliveries`; `erased` subjects (customer id, subject) whose payloads are gone.
    `hurried` are pending deliveries that are due now, whatever was said before; `rewound` destinations some of whose
    pending deliveries have become due at a time in the past. `destinations` are those that `deliveries` go to, by key,
    as they are now; without those in `Store.deliver_to`.
    `changes` are the rows that were written, once each, as they are now (`row.version` is still the one before);
    `orders` the commands that are to be carried out, lowest number first.
    `has_left_over` says that something is left to be done in small steps (`store.steps`), `has_changed_accounts` that
    credentials may be good no longer, or for less than before.
    `everything` says that what was committed is not known (the database was away, and another node may have had it):
    look again.
    """

    events: list[Event] = msgspec.field(default_factory=list)
    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    destinations: dict[int, Destination] = msgspec.field(default_factory=dict)
    changed: set[int] = msgspec.field(default_factory=set)
    woken: set[int] = msgspec.field(default_factory=set)
    erased: set[tuple[str, str]] = msgspec.field(default_factory=set)
    hurried: set[int] = msgspec.field(default_factory=set)
    rewound: set[int] = msgspec.field(default_factory=set)
    changes: list[Write] = msgspec.field(default_factory=list)
    orders: list[Order] = msgspec.field(default_factory=list)
    has_left_over: bool = False
    has_changed_accounts: bool = False
    everything: bool = False

    def add(self, more: Committed) -> None:
        """What another change of the same group found to tell; its events, deliveries and rows are the group's."""
        self.changed |= more.changed
        self.woken |= more.woken
        self.erased |= more.erased
        self.hurried |= more.hurried
        self.rewound |= more.rewound
        self.has_left_over |= more.has_left_over
        self.has_changed_accounts |= more.has_changed_accounts
