"""What is done to a customer's event log on request.

Publishing and sending one event again are one commit each; replaying a stretch and erasing a subject are many small
ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from offhook.delivery.publishing import publish
from offhook.delivery.stepping import in_steps
from offhook.domain.delivery.delivery import check_is_on
from offhook.domain.delivery.delivery_log import LoggedDelivery
from offhook.domain.events.cursor import check_reached
from offhook.domain.events.event import check_is_kept
from offhook.domain.events.publication import Publication
from offhook.domain.events.replay import Replay
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.erasing import Erasure, Place, begin_erasing, erase_step
from offhook.store.long_work.replay import replay_step, send_again
from offhook.store.queries.deliveries import deliveries_of_event
from offhook.store.queries.destinations import webhook_of
from offhook.store.queries.events import find_customer_key, get_event, newest_position
from offhook.store.store import Store


class EventLog:
    """As the API asks for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Bound once: else every event is asked anew whether anybody wants to read of it.
        self._log = structlog.get_logger().bind()

    async def publish(
        self, customer_id: str, publications: Sequence[Publication], idempotency_key: str, digest: bytes
    ) -> list[str]:
        """See `publishing.publish`."""
        ids = await self._store.write(
            lambda tx: publish(tx, customer_id, publications, idempotency_key=idempotency_key, digest=digest)
        )
        self._log.debug("events.accepted", customer_id=customer_id, count=len(ids), event_ids=ids)
        return ids

    async def resend(self, customer_id: str, event_id: str) -> list[LoggedDelivery]:
        """See `resend`."""
        return await self._store.write(lambda tx: resend(tx, customer_id, event_id))

    async def replay(self, customer_id: str, wanted: Replay) -> int:
        """See `replay`."""
        return await replay(self._store, customer_id, wanted)

    async def erase(self, customer_id: str, subject: str) -> int:
        """See `erase_subject`."""
        return await erase_subject(self._store, customer_id, subject)


def resend(tx: Transaction, customer_id: str, event_id: str) -> list[LoggedDelivery]:
    """Send one event again now. Its deliveries, the new one among them.

    Raises NotFoundError, and ConflictError if the webhook is off or the event is erased.
    """
    event = get_event(tx.reader, customer_id, event_id)
    check_is_kept(event)
    send_again(tx, customer_id, event.key, _webhook_in_use(tx, customer_id))
    return deliveries_of_event(tx.reader, customer_id, event_id)


async def replay(store: Store, customer_id: str, wanted: Replay) -> int:
    """Send the wanted events again, in their order; how many. Events that come in meanwhile are not among them.

    Works in small commits and may be cut short by a crash; asking again then sends what is missing (`failed`).
    Raises NotFoundError, and ConflictError if the webhook is off or the log has not reached `after`.
    """
    end = await store.read(lambda connection: newest_position(connection, find_customer_key(connection, customer_id)))
    check_reached(wanted.after or 0, end)
    position: int | None = wanted.after or 0
    count = 0

    def step(tx: Transaction, start: int) -> tuple[int | None, int]:
        return replay_step(tx, customer_id, _webhook_in_use(tx, customer_id), wanted, start, end)

    while position is not None:
        start = position
        position, added = await store.write(lambda tx, start=start: step(tx, start))  # type: ignore[misc]
        count += added
    return count


async def erase_subject(store: Store, customer_id: str, subject: str) -> int:
    """Take the payloads of a subject's events out for good, and cancel what of them is pending. Returns how many.

    The rows stay as tombstones: positions and sequences keep no gap. Answers that receivers gave are erased too, as
    they may repeat what they were sent. May be repeated, and is finished by the next start if it is cut short.
    """
    erasure = await store.write(lambda tx: begin_erasing(tx, customer_id, subject))
    return 0 if erasure is None else await finish_erasure(store, erasure)


async def finish_erasure(store: Store, erasure: Erasure) -> int:
    """Erase what is marked; how many events."""
    # By place: a change may run twice, and then counts once.
    counts: dict[Place, int] = {}

    def step(tx: Transaction, place: Place) -> Place | None:
        counts[place], beyond = erase_step(tx, erasure, place)
        return beyond

    await in_steps(store, step, (0, 0))
    return sum(counts.values())


def _webhook_in_use(tx: Transaction, customer_id: str) -> int:
    """The key of the customer's webhook. Raises ConflictError if it is off."""
    webhook = webhook_of(tx.reader, customer_id)
    check_is_on(webhook)
    return webhook.key
