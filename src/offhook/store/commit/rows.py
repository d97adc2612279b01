"""Rows of what lives, read from the database: one at a time inside a group, and in lists for whoever starts or asks.

What cannot be decoded (another version wrote it, or it is damaged) is left out, and logged, and never keeps a node from
starting; `offhook doctor` lists it. Who asks for that one row alone is told of a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from offhook.domain.errors import NotFoundError
from offhook.domain.noun import NO_NOUNS, Noun, Nouns
from offhook.domain.place import Place
from offhook.domain.step import Lookup
from offhook.domain.times import to_us
from offhook.store import schema
from offhook.store.commit.keeping import is_keepable
from offhook.store.commit.port import Document, Hit, Row, Unreadable
from offhook.store.commit.transaction import Transaction
from offhook.store.database.paging import Listed, page_before
from offhook.store.database.prepared import Prepared, driver_cursor
from offhook.store.noun_tables import IS_OPEN, noun_table

_STREAMED = 500

log = structlog.get_logger()


class UnreadableRow(msgspec.Struct, frozen=True):
    """A row that cannot be read, and what the decoder says."""

    kind: str
    id: str
    reason: str


def _everything(state: Any) -> bool:
    del state
    return True


class Wanted(msgspec.Struct, frozen=True):
    """What a list is to show: rows that were made from `since` on and before `until`, and that it `takes`."""

    page_size: int
    takes: Callable[[Any], bool] = _everything
    since: datetime | None = None
    until: datetime | None = None


class NounRows:
    """One noun's table, and how its documents are read."""

    def __init__(self, noun: Noun[Any], command_type: Any) -> None:
        self.noun = noun
        self.table = noun_table(noun.kind, sa.MetaData())
        self._decoder = msgspec.json.Decoder(_document(noun.state_type, command_type))

    def decode(self, document: bytes) -> Document[Any, Any]:
        """What a row holds. Raises DecodeError."""
        found: Document[Any, Any] = self._decoder.decode(document)
        return found

    def decode_or_none(self, row_id: str, document: bytes) -> Document[Any, Any] | None:
        """What a row holds; None if it cannot be read, which is logged."""
        try:
            return self.decode(document)
        except msgspec.DecodeError as error:
            kind, hint = self.noun.kind, "`offhook doctor` lists them"
            log.error("store.row_unreadable", kind=kind, id=row_id, error=str(error), hint=hint)
            return None

    def select(self) -> sa.Select[Any]:
        """What `row` needs, of every row there is."""
        columns = self.table.c
        return sa.select(columns.id, columns.customer_id, columns.version, columns.document)

    def row(self, found: Any) -> Row | None:
        """A row as `select` found it; None if it cannot be read."""
        document = self.decode_or_none(found.id, found.document)
        if document is None:
            return None
        return Row(
            kind=self.noun.kind,
            id=found.id,
            customer_id=found.customer_id,
            version=found.version,
            document=document,
        )


class Tables:
    """Every noun's table. `command_type` is the union of the commands that rows may have pending."""

    def __init__(self, nouns: Nouns = NO_NOUNS, command_type: Any = Any) -> None:
        self.nouns = nouns
        self.of: Mapping[str, NounRows] = {kind: NounRows(noun, command_type) for kind, noun in nouns.items()}

    def open(self, connection: sa.Connection) -> list[Row]:
        """Every row that a start has to take up and that can be read: kind by kind, oldest first."""
        found = []
        for rows in self.of.values():
            statement = rows.select().where(IS_OPEN).order_by(rows.table.c.key)
            found += [row for one in connection.execute(statement) if (row := rows.row(one)) is not None]
        return found

    def due(self, connection: sa.Connection, until: datetime) -> list[Row]:
        """Every row that has a timer until then, and that can be read; the earliest first."""
        found = []
        for rows in self.of.values():
            due_at = rows.table.c.due_at
            statement = rows.select().where(due_at <= to_us(until)).add_columns(due_at)
            found += [(one.due_at, row) for one in connection.execute(statement) if (row := rows.row(one)) is not None]
        return [row for _, row in sorted(found, key=lambda timed: timed[0])]

    def get(self, connection: sa.Connection, kind: str, customer_id: str, row_id: str) -> Any:
        """The state of one row that is not hidden. Raises NotFoundError, and DecodeError if it cannot be read."""
        rows = self.of[kind]
        found = None
        if is_keepable(row_id):
            found = connection.execute(rows.select().where(rows.table.c.id == row_id)).first()
        state = None if found is None or found.customer_id != customer_id else rows.decode(found.document).state
        if state is None or rows.noun.is_hidden(state):
            raise NotFoundError(f"There is no {kind} {row_id}.", reason=f"{kind.upper()}_NOT_FOUND", field="id")
        return state

    def found(self, connection: sa.Connection, lookup: Lookup) -> list[Any]:
        """The states of the rows that a lookup finds and that can be read."""
        rows, places = self.of[lookup.kind], schema.places.c
        if not is_keepable(lookup.key):
            return []
        statement = (
            rows.select()
            .join(schema.places, places.id == rows.table.c.id)
            .where(places.kind == lookup.kind, places.name == lookup.name, places.key == lookup.key)
            .order_by(places.rank, places.id)
            .limit(lookup.limit)
        )
        read = [rows.row(one) for one in connection.execute(statement)]
        return [row.document.state for row in read if row is not None]

    def has_any(self, connection: sa.Connection, kind: str) -> bool:
        """Whether there is, or was, a row of this kind."""
        return connection.execute(sa.select(self.of[kind].table.c.key).limit(1)).first() is not None

    def page(
        self, connection: sa.Connection, kind: str, customer_id: str, wanted: Wanted, *, before: Place | None = None
    ) -> Listed[Any]:
        """The states of a customer's rows that are wanted, not hidden, and can be read; newest first, from `before`."""
        rows = self.of[kind]
        columns = rows.table.c
        statement = rows.select().where(columns.customer_id == customer_id).add_columns(columns.tm_create, columns.key)
        if wanted.since is not None:
            statement = statement.where(columns.tm_create >= to_us(wanted.since))
        if wanted.until is not None:
            statement = statement.where(columns.tm_create < to_us(wanted.until))

        def state(found: Any) -> Any:
            document = rows.decode_or_none(found.id, found.document)
            is_shown = document is not None and not rows.noun.is_hidden(document.state)
            return document.state if document is not None and is_shown and wanted.takes(document.state) else None

        return page_before(connection, statement, rows.table, before, wanted.page_size, state)

    def unreadable(self, connection: sa.Connection) -> Iterator[UnreadableRow]:
        """All that cannot be read. Reads every document there is, a few at a time."""
        for kind, rows in self.of.items():
            statement = rows.select().order_by(rows.table.c.key)
            for found in connection.execute(statement.execution_options(yield_per=_STREAMED)):
                try:
                    rows.decode(found.document)
                except msgspec.DecodeError as error:
                    yield UnreadableRow(kind, found.id, str(error))


class GroupRows:
    """The port `Rows` inside a group's transaction. Lives on the writer's thread."""

    def __init__(self, connection: sa.Connection, transaction: Transaction, tables: Tables) -> None:
        self._transaction = transaction
        self._of = tables.of
        self._dialect_name = connection.dialect.name
        self._cursor = driver_cursor(connection)
        self._prefetched: dict[tuple[str, str], list[Any]] = {}

    def prefetch(self, keys: Collection[tuple[str, str]]) -> None:
        """These will be asked for: on PostgreSQL all at once costs less than one after another."""
        for kind in {kind for kind, _ in keys} & self._of.keys():
            ids = sorted(row_id for one, row_id in keys if one == kind and is_keepable(row_id))
            select = _select_row(self._of[kind].table.name, self._dialect_name)
            found = select.fetch_each(self._cursor, [{"of_id": row_id} for row_id in ids])
            self._prefetched.update(zip(((kind, row_id) for row_id in ids), found, strict=True))

    def get(self, kind: str, row_id: str) -> Row | Unreadable | None:
        """The row as it is in the database."""
        # What nobody can have written need not be asked for, and PostgreSQL would not take all of it.
        if not is_keepable(row_id):
            return None
        rows = self._of[kind]
        found = self._prefetched.pop((kind, row_id), None)
        if found is None:
            found = _select_row(rows.table.name, self._dialect_name).fetch(self._cursor, of_id=row_id)
        if not found:
            return None
        row = _FoundRow._make(found[0])
        document = rows.decode_or_none(row_id, row.document)
        if document is None:
            return Unreadable()
        return Row(kind=kind, id=row_id, customer_id=row.customer_id, version=row.version, document=document)

    def find(self, lookup: Lookup) -> Sequence[Hit]:
        """The first rows there."""
        if not is_keepable(lookup.key):
            return ()
        found = _find(self._dialect_name).fetch(
            self._cursor, of_kind=lookup.kind, of_name=lookup.name, of_key=lookup.key, count=lookup.limit
        )
        return [Hit(rank=rank, id=row_id) for rank, row_id in found]

    def number(self) -> int:
        """The next number of a command."""
        return self._transaction.next_key("commands")

    def knows(self, customer_id: str) -> bool:
        """Whether there is such a customer."""
        return self._transaction.knows_customer(customer_id)


class _FoundRow(NamedTuple):
    """A row as `_select_row` finds it; its fields are the columns."""

    customer_id: str
    version: int
    document: bytes


@cache
def _select_row(table_name: str, dialect_name: str) -> Prepared:
    table = sa.table(table_name, *map(sa.column, ("id", *_FoundRow._fields)))
    columns = [table.c[name] for name in _FoundRow._fields]
    statement = sa.select(*columns).where(table.c.id == sa.bindparam("of_id"))
    return Prepared(statement, ("of_id",), dialect_name)


@cache
def _find(dialect_name: str) -> Prepared:
    columns = schema.places.c
    statement = (
        sa.select(columns.rank, columns.id)
        .where(
            columns.kind == sa.bindparam("of_kind"),
            columns.name == sa.bindparam("of_name"),
            columns.key == sa.bindparam("of_key"),
        )
        .order_by(columns.rank, columns.id)
        .limit(sa.bindparam("count", type_=sa.BigInteger))
    )
    return Prepared(statement, ("of_kind", "of_name", "of_key", "count"), dialect_name)


def _document(state_type: Any, command_type: Any) -> Any:
    return Document[state_type, command_type]
