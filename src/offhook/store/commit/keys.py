"""Integer keys in order of insertion, reserved from the database a block at a time.

A block costs one statement for thousands of rows and works alike on both databases; what is left of a block at the
end of the process is never used, so keys have gaps.
"""

from __future__ import annotations

import sqlalchemy as sa

from offhook.store.schema import key_blocks

_BLOCK = 10_000


class KeySource:
    """Hands out keys of one table. Used on the writer's thread only."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0
        self._end = 0

    def take(self, connection: sa.Connection, count: int = 1) -> range:
        """`count` consecutive keys. Raises what the database raises.

        A block that is reserved inside a transaction which is then rolled back is given back with it.
        """
        if self._next + count > self._end:
            self._reserve(connection, max(count, _BLOCK))
        first = self._next
        self._next += count
        return range(first, first + count)

    def forget(self) -> None:
        """Drop the block: called when the transaction that reserved it may have been rolled back."""
        self._next = self._end = 0

    def mark(self) -> tuple[int, int]:
        """What is at hand, for `restore`."""
        return self._next, self._end

    def restore(self, mark: tuple[int, int]) -> None:
        """The transaction went back to where `mark` was: a block that was reserved since is reserved no more."""
        if mark[1] != self._end:
            self._next, self._end = mark

    def _reserve(self, connection: sa.Connection, count: int) -> None:
        statement = (
            sa.update(key_blocks)
            .where(key_blocks.c.name == self._name)
            .values(next_key=key_blocks.c.next_key + count)
            .returning(key_blocks.c.next_key)
        )
        end = connection.execute(statement).scalar()
        if end is None:
            connection.execute(sa.insert(key_blocks).values(name=self._name, next_key=1 + count))
            end = 1 + count
        self._next, self._end = end - count, end


class Keys:
    """The key sources of all tables, one set per writer."""

    def __init__(self) -> None:
        self._sources: dict[str, KeySource] = {}

    def take(self, connection: sa.Connection, table: str, count: int = 1) -> range:
        source = self._sources.get(table)
        if source is None:
            source = self._sources[table] = KeySource(table)
        return source.take(connection, count)

    def forget(self) -> None:
        for source in self._sources.values():
            source.forget()

    def mark(self) -> dict[str, tuple[int, int]]:
        return {name: source.mark() for name, source in self._sources.items()}

    def restore(self, mark: dict[str, tuple[int, int]]) -> None:
        for name, source in self._sources.items():
            source.restore(mark.get(name, (0, 0)))
