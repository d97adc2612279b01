"""The one shape of everything that runs for the life of the node."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable


class Service(ABC):
    """A part of the node with a life of its own: writer, engine, switch connection, web server …

    The supervisor awaits `start`, then keeps `run` running until it awaits `stop`. What a service needs is started
    before it and stopped after it.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """How log and `/readyz` call it: two or three words, lower case."""

    async def start(self) -> None:  # noqa: B027 - many have nothing to do
        """Get ready; when it returns, others may rely on this one. Raises MisconfiguredError with what to do."""

    @abstractmethod
    async def run(self) -> None:
        """Live. To return, or to raise, before `stop` was called is a fault that the supervisor sees."""

    async def stop(self) -> None:  # noqa: B027
        """Finish what is under way, within a bound. Afterwards `run` has returned, or is cancelled.

        May be called twice, and after a start that failed or was cut short.
        """


class Closing(Service):
    """Something without a life of its own that has to be closed in its turn."""

    def __init__(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._close = close

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return self._name

    async def run(self) -> None:
        """Be there."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Close it."""
        await self._close()
