"""How a destination is read: one row out of three tables. What changes destinations is in `destinations`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from offhook.domain.delivery.delivery import FROZEN, Destination
from offhook.domain.delivery.health import Failure
from offhook.domain.noun import OwnWebhook
from offhook.store import schema
from offhook.store.commit.keys import Keys
from offhook.store.database.prepared import Prepared, driver_cursor
from offhook.store.schema import customers, deliveries, destinations, uris


class _Found(NamedTuple):
    """A row as `SELECT` finds it, and its columns: one and the same order."""

    key: Any
    customer_id: Any
    activeflow_id: Any
    uri: Any
    uri_key: Any
    method: Any
    held_reason: Any
    failing_since: Any
    is_probed: Any
    failing_outcome: Any
    failing_status_code: Any
    failing_detail: Any
    answering_since: Any
    tm_update: Any
    secret: Any
    old_secrets: Any
    old_secret_until: Any


_COLUMNS = _Found(
    key=destinations.c.key,
    customer_id=customers.c.id,
    activeflow_id=destinations.c.activeflow_id,
    uri=uris.c.uri,
    uri_key=destinations.c.uri_key,
    method=destinations.c.method,
    held_reason=destinations.c.held_reason,
    failing_since=destinations.c.failing_since,
    is_probed=destinations.c.is_probed,
    failing_outcome=destinations.c.failing_outcome,
    failing_status_code=destinations.c.failing_status_code,
    failing_detail=destinations.c.failing_detail,
    answering_since=destinations.c.answering_since,
    tm_update=destinations.c.tm_update,
    secret=customers.c.webhook_secret,
    old_secrets=customers.c.old_webhook_secret,
    old_secret_until=customers.c.old_webhook_secret_until,
)
SELECT: sa.Select[Any] = sa.select(*_COLUMNS).select_from(
    destinations.join(customers, customers.c.key == destinations.c.customer_key).outerjoin(
        uris, uris.c.key == destinations.c.uri_key
    )
)


def destination_of(row: Iterable[Any]) -> Destination:
    """A row of `SELECT`."""
    found = _Found._make(row)
    old_secrets = tuple(found.old_secrets.split())
    outcome, is_failing = found.failing_outcome, found.failing_since is not None
    return Destination(
        key=found.key,
        customer_id=found.customer_id,
        activeflow_id=found.activeflow_id,
        uri=found.uri or "",
        uri_key=found.uri_key,
        method=found.method,
        held_reason=found.held_reason,
        failing_since_us=found.failing_since,
        secrets=(found.secret, *old_secrets),
        old_secret_until_us=found.old_secret_until if old_secrets else None,
        failure=Failure(outcome, found.failing_status_code, found.failing_detail or "") if outcome else None,
        is_probed=is_failing and (found.is_probed is None or bool(found.is_probed)),
        answering_since_us=found.answering_since,
        changed_us=found.tm_update,
    )


class _Statements:
    """What the engine reads of destinations, for one dialect."""

    def __init__(self, dialect_name: str) -> None:
        self.by_key = Prepared(SELECT.where(destinations.c.key == sa.bindparam("of_key")), ("of_key",), dialect_name)
        waiting = (
            sa.select(deliveries.c.key)
            .where(
                deliveries.c.destination_key == destinations.c.key,
                deliveries.c.due_at <= sa.bindparam("until"),
                schema.IS_PENDING,
            )
            .exists()
        )
        # Written into the statement: what is held sends nothing, whatever is pending.
        in_use = destinations.c.held_reason == sa.text("''")
        self.with_pending = Prepared(SELECT.where(in_use, waiting), ("until",), dialect_name)


@cache
def _statements(dialect_name: str) -> _Statements:
    return _Statements(dialect_name)


def add_own_webhook(connection: sa.Connection, keys: Keys, customer_key: int, webhook: OwnWebhook) -> None:
    """Make a destination beside the customer's own."""
    (key,), (uri_key,) = keys.take(connection, "destinations"), keys.take(connection, "uris")
    status = connection.execute(sa.select(customers.c.status).where(customers.c.key == customer_key)).scalar()
    connection.execute(sa.insert(uris).values(key=uri_key, destination_key=key, uri=webhook.uri))
    connection.execute(
        sa.insert(destinations).values(
            key=key,
            customer_key=customer_key,
            activeflow_id=webhook.activeflow_id,
            uri_key=uri_key,
            method=webhook.method,
            held_reason=FROZEN if status == FROZEN else "",
        )
    )


def load_destination(connection: sa.Connection, key: int) -> Destination | None:
    """The destination with this key, as it is now."""
    found = _statements(connection.dialect.name).by_key.fetch(driver_cursor(connection), of_key=key)
    return destination_of(found[0]) if found else None


def load_destinations(cursor: Any, dialect_name: str, keys: Sequence[int]) -> list[Destination]:
    """Destinations that are there, by the driver's own cursor."""
    rows = _statements(dialect_name).by_key.run_returning(cursor, [{"of_key": key} for key in keys])
    return [destination_of(row) for row in rows]


def destinations_with_pending(connection: sa.Connection, *, until_us: int) -> list[Destination]:
    """Every destination in use that has something pending, due by `until_us`."""
    rows = _statements(connection.dialect.name).with_pending.fetch(driver_cursor(connection), until=until_us)
    return [destination_of(row) for row in rows]
