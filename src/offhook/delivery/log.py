"""What is done to a customer's event log on request, in many small commits: replaying a stretch, erasing a subject."""

from __future__ import annotations

from offhook.delivery.stepping import in_steps
from offhook.domain.cursor import check_reached
from offhook.store.erasing import Erasure, Place, begin_erasing, erase_step
from offhook.store.events import find_customer_key, newest_position
from offhook.store.replay import Replay, replay_step
from offhook.store.store import Store
from offhook.store.transaction import Transaction


class EventLog:
    """As the API asks for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replay(self, customer_id: str, wanted: Replay) -> int:
        """See `replay`."""
        return await replay(self._store, customer_id, wanted)

    async def erase(self, customer_id: str, subject: str) -> int:
        """See `erase_subject`."""
        return await erase_subject(self._store, customer_id, subject)


async def replay(store: Store, customer_id: str, wanted: Replay) -> int:
    """Send the wanted events again, in their order; how many. Events that come in meanwhile are not among them.

    Works in small commits and may be cut short by a crash; asking again then sends what is missing (`failed`).
    Raises NotFoundError, and ConflictError if the webhook is off or the log has not reached `after`.
    """
    end = await store.read(lambda connection: newest_position(connection, find_customer_key(connection, customer_id)))
    check_reached(wanted.after or 0, end)
    position: int | None = wanted.after or 0
    count = 0
    while position is not None:
        start = position
        position, added = await store.write(lambda tx, start=start: replay_step(tx, customer_id, wanted, start, end))  # type: ignore[misc]
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
