"""The queues of all destinations that there is something to do for: how they are met, and when they are forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from offhook.delivery.queue import DestinationQueue
from offhook.domain.delivery.delivery import Destination


class Queues:
    """Every queue, by the key of its destination.

    A *survey* asks the database which destinations have something pending. Once it was heard, and as every commit is
    told, a destination without a queue has nothing in the database that could be sent: one that a commit is the first
    to tell of begins empty and costs no read. If its uri or state changed, or deliveries were made due again, or the
    survey was not heard yet, it begins by reading. After a commit that nobody knows the outcome of, it takes a new
    survey.
    """

    def __init__(self, make: Callable[[int], DestinationQueue]) -> None:
        self._make = make
        self._queues: dict[int, DestinationQueue] = {}
        self._doubt_count = 0
        self.is_surveyed = False

    def __contains__(self, key: object) -> bool:
        """Whether the destination has a queue. The store's writer asks too, from its own thread."""
        return key in self._queues

    def __iter__(self) -> Iterator[DestinationQueue]:
        return iter(self._queues.values())

    def get(self, key: int) -> DestinationQueue | None:
        """The destination's queue, if it has one."""
        return self._queues.get(key)

    def of(self, key: int) -> DestinationQueue:
        """The destination's queue; a new one has to read what there is in the database."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = self._make(key)
        return queue

    def queue_for(self, key: int, destination: Destination | None, now_us: int) -> DestinationQueue | None:
        """The queue for a delivery committed just now. None if its destination sends nothing.

        `destination` is what the commit says of it: nothing, if there was a queue at that time.
        """
        queue = self._queues.get(key)
        if queue is not None:
            return queue
        if destination is None:
            return self.of(key)
        if destination.held_reason:
            return None
        queue = self._make(key)
        if self.is_surveyed:
            queue.begin_empty(destination, now_us)
        else:
            queue.set_destination(destination, now_us)
        self._queues[key] = queue
        return queue

    def reread_everything(self) -> None:
        """What is in the database is not known any more: every queue reads again, and a survey has to be taken."""
        self.is_surveyed = False
        self._doubt_count += 1
        for queue in self._queues.values():
            queue.reread_everything()

    def begin_survey(self) -> int:
        """What to give to `end_survey`."""
        return self._doubt_count

    def find(self, destination: Destination, now_us: int) -> DestinationQueue:
        """The queue of a destination that a survey found something for."""
        queue = self._queues.get(destination.key)
        if queue is None:
            queue = self._queues[destination.key] = self._make(destination.key)
            queue.set_destination(destination, now_us)
        else:
            # Known already, and perhaps more recent than the survey.
            queue.read_from_start_if_idle()
        return queue

    def end_survey(self, begun: int) -> None:
        """All that the survey found was given to `find`."""
        self.is_surveyed = begun == self._doubt_count

    def forget_idle(self) -> Sequence[int]:
        """Drop the queues that know nothing that the database does not; their keys."""
        idle = [queue for queue in self._queues.values() if queue.is_idle]
        for queue in idle:
            queue.lanes.clear()
            if queue.timer is not None:
                queue.timer.cancel()
            del self._queues[queue.key]
        return [queue.key for queue in idle]
