"""Sending again: one event on request (resend), or every event of a stretch of the log (replay).

Either makes new deliveries beside the old ones, so that the log keeps what happened before. An event that is still on
its way gets none: a resend makes it due at once instead.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from offhook.domain.events.replay import Replay
from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.schema import DeliveryStatus, deliveries, events, subjects

# Events looked at in one commit: small, so that publishers wait a few milliseconds at most.
_STEP = 500


def send_again(tx: Transaction, customer_id: str, event_key: int, destination_key: int) -> None:
    """Make what is pending of an event at a destination due at once; add a delivery if nothing is."""
    # One whose time has come keeps its place in the order.
    hurried = (
        tx.connection.execute(
            sa.update(deliveries)
            .where(
                # An expression keeps a planner from walking through everything that the destination has pending.
                deliveries.c.destination_key + 0 == destination_key,
                deliveries.c.event_key == event_key,
                schema.IS_PENDING,
            )
            .values(due_at=sa.case((deliveries.c.due_at > tx.now_us, tx.now_us), else_=deliveries.c.due_at))
            .returning(deliveries.c.key)
        )
        .scalars()
        .all()
    )
    if not hurried:
        tx.connection.execute(
            sa.insert(deliveries).values(
                _new_row(tx, tx.next_key("deliveries"), event_key, customer_id, destination_key)
            )
        )
        tx.count(destination_key, created=1)
    tx.committed.hurried.update(hurried)
    tx.committed.woken.add(destination_key)


def replay_step(
    tx: Transaction, customer_id: str, destination_key: int, wanted: Replay, after: int, end: int
) -> tuple[int | None, int]:
    """Replay one stretch; where the next one begins (None at the end) and how many were added."""
    within = [events.c.customer_key == tx.customer_key(customer_id), events.c.position > after]
    # So many events, not so many positions: what was forgotten leaves a gap.
    last = sa.select(events.c.position).where(*within).order_by(events.c.position).offset(_STEP - 1).limit(1)
    stop = tx.reader.execute(last).scalar() or end
    found = tx.reader.execute(
        sa.select(events.c.key)
        .select_from(events.outerjoin(subjects, subjects.c.key == events.c.subject_key))
        .where(
            *within,
            events.c.position <= min(stop, end),
            events.c.payload != b"",
            ~schema.IS_ERASING,
            *_conditions(wanted, destination_key),
        )
        .order_by(events.c.position)
    ).scalars()
    rows = [_new_row(tx, tx.next_key("deliveries"), event_key, customer_id, destination_key) for event_key in found]
    if rows:
        tx.connection.execute(sa.insert(deliveries), rows)
        tx.count(destination_key, created=len(rows))
        tx.committed.woken.add(destination_key)
    return (stop if stop < end else None), len(rows)


def _conditions(wanted: Replay, destination_key: int) -> list[sa.ColumnElement[bool]]:
    settled = [schema.IS_PENDING]
    if wanted.only == "failed":
        settled = [sa.or_(schema.IS_PENDING, deliveries.c.status == int(DeliveryStatus.SUCCEEDED))]
    conditions: list[sa.ColumnElement[bool]] = [
        ~sa.exists().where(
            deliveries.c.event_key == events.c.key, deliveries.c.destination_key + 0 == destination_key, *settled
        )
    ]
    if wanted.since_us is not None:
        conditions.append(events.c.tm_create >= wanted.since_us)
    if wanted.until_us is not None:
        conditions.append(events.c.tm_create <= wanted.until_us)
    if wanted.types:
        conditions.append(events.c.type.in_(wanted.types))
    return conditions


def _new_row(tx: Transaction, key: int, event_key: int, customer_id: str, destination_key: int) -> dict[str, Any]:
    return {
        "key": key,
        "event_key": event_key,
        "customer_key": tx.customer_key(customer_id),
        "destination_key": destination_key,
        "status": int(DeliveryStatus.PENDING),
        "due_at": tx.now_us,
        "tm_create": tx.now_us,
    }
