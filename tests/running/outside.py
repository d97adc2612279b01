"""Whoever carries commands out, in memory: as reliable as a test wants."""

from __future__ import annotations

import asyncio
from collections import Counter

from offhook.domain.step import Command, Done, Outcome, Unavailable, Unknown


class Outside:
    """`asked` is what was asked of it, in order: ids of commands, with a `?` for a look."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.done: Counter[str] = Counter()
        self.is_away = False
        self.answers: dict[str, list[Outcome | Exception]] = {}
        """What an id is answered instead of its being done, one after another."""
        self.unanswered: set[str] = set()
        """These are done once, and nobody is told."""
        self.gates: dict[str, asyncio.Event] = {}
        """Requests for these ids are not answered before."""
        self.at_once = 0
        self.most_at_once = 0

    async def carry_out(self, command: Command) -> Outcome:
        self.asked.append(command.id)
        await self._pass(command.id)
        if self.is_away:
            return Unavailable()
        if self.answers.get(command.id):
            return self._scripted(command.id)
        self.done[command.id] += 1
        if command.id in self.unanswered:
            self.unanswered.remove(command.id)
            return Unavailable()
        return Done()

    async def look(self, command: Command) -> Outcome:
        self.asked.append(f"{command.id}?")
        await self._pass(f"{command.id}?")
        if self.is_away:
            return Unavailable()
        if self.answers.get(f"{command.id}?"):
            return self._scripted(f"{command.id}?")
        return Done() if self.done[command.id] else Unknown()

    def gate(self, asked: str) -> asyncio.Event:
        """Hold what is asked so, until the event is set."""
        return self.gates.setdefault(asked, asyncio.Event())

    def _scripted(self, asked: str) -> Outcome:
        answer = self.answers[asked].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _pass(self, asked: str) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self.gates[asked].wait() if asked in self.gates else asyncio.sleep(0))
        finally:
            self.at_once -= 1
