"""Units on a real store: each whole or without a trace, none at its neighbours' cost, and none over another's write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from offhook.domain.errors import NotFoundError, UnavailableError
from offhook.domain.events.event import NewEvent
from offhook.domain.noun import Entry, registry
from offhook.domain.place import Place
from offhook.domain.step import Done, Ended, Found, Lookup, Step
from offhook.store.commit import keeping
from offhook.store.commit.committed import Committed
from offhook.store.commit.port import Row
from offhook.store.commit.rows import Wanted
from offhook.store.commit.unit import Unit
from offhook.store.database import postgresql
from offhook.store.database.database import Database
from offhook.store.metrics import StoreMetrics
from offhook.store.store import Store
from tests.core.machine import START
from tests.core.notes import CUSTOMER, NOTE, OTHER, Do, Knock, Make, Note, Shrug, event, raises, to, writes
from tests.store.commit.living import open_store, unit
from tests.store.conftest import in_one_group, rows

NOTES = registry(NOTE)


@pytest.fixture
async def notes(database_url: str) -> AsyncIterator[Store]:
    """A store with the notes `a`, `b` and `c` of one customer, `x` of another."""
    store = await open_store(Database(database_url), NOTES, Knock, CUSTOMER, OTHER)
    made = [unit(to(row_id, Make())) for row_id in "abc"]
    await store.apply([*made, unit(to("x", Make(OTHER)))])
    yield store
    await store.stop()


@pytest.fixture
def told(notes: Store) -> list[Committed]:
    found: list[Committed] = []
    notes.subscribe(found.append)
    return found


def texts(store: Store) -> dict[str, str]:
    """Every note as it is in the database."""
    decode = msgspec.json.decode
    return {
        row[0]: decode(row[1])["state"]["text"] for row in rows(store, "SELECT id, document FROM notes ORDER BY id")
    }


def types(store: Store) -> list[str]:
    return [row[0] for row in rows(store, "SELECT type FROM events ORDER BY customer_key, position")]


async def test_a_group_of_units_is_one_commit_and_each_row_one_write(notes: Store, told: list[Committed]) -> None:
    before = notes.group_count
    batches = [[unit(to("a", writes(str(n)))), unit(to("b", writes(str(n))))] for n in range(10)]
    outcomes = await in_one_group(notes, *batches)
    assert all(result.is_done for results in outcomes for result in results)
    assert notes.group_count - before <= 2
    assert [result.states[0].text for (result, _) in outcomes] == ["0123456789"[: n + 1] for n in range(10)]
    assert texts(notes) == {"a": "0123456789", "b": "0123456789", "c": "", "x": ""}
    assert rows(notes, "SELECT id, version FROM notes ORDER BY id") == [("a", 2), ("b", 2), ("c", 1), ("x", 1)]
    (committed,) = (one for one in told if one.changes)
    assert [(write.row.id, write.row.document.state.text) for write in committed.changes] == [
        ("a", "0123456789"),
        ("b", "0123456789"),
    ]
    # Events of units and of changes keep the order in which they were decided.
    assert types(notes) == [f"note_{n}" for n in range(10) for _ in "ab"]


async def test_units_and_changes_of_one_group_keep_their_order(notes: Store, told: list[Committed]) -> None:
    def publish(tx: Any) -> str:
        return str(tx.add_event(NewEvent(CUSTOMER, "published", "note/1", b"{}")))

    def fail(tx: Any) -> None:
        publish(tx)
        raise NotFoundError("no")

    await in_one_group(notes, publish, [unit(to("a", writes("1")))], fail, [unit(to("a", writes("2")))], publish)
    assert types(notes) == ["published", "note_1", "note_2", "published"]
    (committed,) = (one for one in told if one.changes)
    assert [one.sequence for one in committed.events] == [1, 2, 3, 4]


@pytest.mark.parametrize("is_asked", [True, False])
async def test_a_unit_that_raises_beside_neighbours_leaves_no_trace_and_costs_no_commit(
    notes: Store, is_asked: bool
) -> None:
    bad = unit(to("a", writes("!", to("c", Do(raises)))), is_asked=True)
    poison = unit(
        to(
            "c",
            writes("unbreakable"),
        ),
        is_asked=True,
    )
    await notes.apply([poison])
    if not is_asked:
        bad = unit(to("a", writes("!", to("c", Do(raises)))))
    before, known = notes.group_count, types(notes)
    outcomes = await in_one_group(notes, *[[unit(to("b", writes("."))), bad] for _ in range(20)])
    assert notes.group_count - before <= 2
    assert [(good.is_done, failed.is_done) for good, failed in outcomes] == [(True, False)] * 20
    assert texts(notes) == {"a": "", "b": "." * 20, "c": "unbreakable", "x": ""}
    assert types(notes) == known + ["note_."] * 20
    # It was logged and counted: what raised, and for the second also what raised in ending it.
    assert notes.fault_counts == {"note": 20 if is_asked else 40}
    registry = CollectorRegistry()
    StoreMetrics(registry, notes)
    assert registry.get_sample_value("offhook_rule_faults_total", {"kind": "note"}) == notes.fault_counts["note"]


async def test_a_refused_unit_leaves_no_trace(notes: Store) -> None:
    (result,) = await notes.apply([unit(to("nobody", Shrug()), is_asked=True)])
    assert (result.refused.status if result.refused else 0) == 404
    (result,) = await notes.apply([unit(to("x", writes("1")), is_asked=True, customer_id=CUSTOMER)])
    assert (result.refused.status if result.refused else 0) == 404
    assert set(texts(notes).values()) == {""}


async def test_a_rule_that_always_raises_ends_its_own_row_and_no_other(notes: Store) -> None:
    (result,) = await notes.apply([unit(to("a", writes("1", to("b", Do(raises)), to("c", writes("3")))))])
    assert result.is_done
    assert texts(notes) == {"a": "1", "b": "failed", "c": "3", "x": ""}
    assert rows(notes, "SELECT id FROM notes WHERE is_final") == [("b",)]
    assert rows(notes, "SELECT id FROM notes WHERE is_open ORDER BY id") == [("a",), ("c",), ("x",)]


def unencodable(state: Note, now: object) -> Step[Note]:
    return Step(msgspec.structs.replace(state, text="\ud800"), (event("never"),))


def too_large(state: Note, now: object) -> Step[Note]:
    return Step(msgspec.structs.replace(state, text="x" * keeping.MAX_ROW_BYTES), (event("never"),))


def nobodys_event(state: Note, now: object) -> Step[Note]:
    return Step(
        msgspec.structs.replace(state, text="x"), (event("never"), NewEvent("nobody", "never", "note/1", b"{}"))
    )


@pytest.mark.parametrize("act", [unencodable, too_large, nobodys_event])
async def test_what_cannot_be_kept_fails_its_own_unit_and_no_other(notes: Store, act: Any) -> None:
    before = notes.group_count
    asked = unit(to("c", writes("!", to("a", Do(act)))), is_asked=True)
    told = unit(to("c", writes("1", to("a", Do(act)), to("b", writes("2")))))
    outcomes = await in_one_group(notes, [unit(to("b", writes(".")))], [asked], [told])
    assert notes.group_count - before <= 2
    assert [result.is_done for (result,) in outcomes] == [True, False, True]
    assert texts(notes) == {"a": "failed", "b": ".2", "c": "1", "x": ""}
    assert types(notes) == ["note_.", "note_failed", "note_1", "note_2"]


@pytest.mark.parametrize("row_id", ["nul\0", "\ud800", "x" * 201])
async def test_an_id_that_no_row_can_have_is_not_there_and_cannot_be_made(notes: Store, row_id: str) -> None:
    units = [
        unit(to("a", writes("1"))),
        unit(to(row_id, Shrug()), is_asked=True),
        unit(to(row_id, Make())),
        unit(to("a", writes("2"))),
    ]
    results = await notes.apply(units)
    assert [result.is_done for result in results] == [True, False, False, True]
    assert results[1].refused is not None
    assert texts(notes)["a"] == "12"
    with pytest.raises(NotFoundError) as error:
        await notes.read(lambda connection: notes.tables.get(connection, "note", CUSTOMER, row_id))
    assert (error.value.reason, error.value.field) == ("NOTE_NOT_FOUND", "id")


async def test_a_unit_whose_statement_fails_costs_its_batch_no_more_than_itself(
    notes: Store, told: list[Committed]
) -> None:
    """Nothing of the kind is known; if it happens, whoever tells things in order must not stand still for ever."""
    await notes.write(
        lambda tx: tx.connection.exec_driver_sql("CREATE UNIQUE INDEX forbidden ON notes (tm_update) WHERE version > 1")
    )
    at = START + timedelta(seconds=5)
    (before,) = rows(notes, "SELECT number FROM last_group")
    results = await notes.apply(
        [
            Unit((to("a", writes("1")),), at),
            Unit((to("b", writes("2")),), at),
            Unit((to("a", writes("3")),), at),
        ]
    )
    assert [result.is_done for result in results] == [True, False, True]
    assert rows(notes, "SELECT number FROM last_group") != [before]
    assert texts(notes) == {"a": "13", "b": "", "c": "", "x": ""}
    assert types(notes) == ["note_1", "note_3"]
    (committed,) = (one for one in told if one.changes)
    assert [(write.row.id, write.row.version) for write in committed.changes] == [("a", 2)]
    assert [one.type for one in committed.events] == ["note_1", "note_3"]
    assert notes.fault_counts == {"note": 1}


async def test_the_numbers_of_commands_rise_also_after_a_restart(notes: Store, told: list[Committed]) -> None:
    def knocks(*command_ids: str) -> Do:
        return Do(lambda state, now: Step(state, commands=tuple(Knock(id=one) for one in command_ids)))

    await notes.apply([unit(to("a", knocks("1", "2"))), unit(to("b", knocks("3")))])
    (committed,) = (one for one in told if one.orders)
    numbers = [order.pending.number for order in committed.orders]
    assert [order.pending.command.id for order in committed.orders] == ["1", "2", "3"]
    await notes.stop()
    again = Store(Database(str(notes.database.url)), NOTES, Knock)
    await again.start()
    again.subscribe(told.append)
    assert [(row.id, len(row.document.pending)) for row in await again.read(again.tables.open)] == [
        ("a", 2),
        ("b", 1),
        ("c", 0),
        ("x", 0),
    ]
    await again.apply([unit(to("b", knocks("4")), to("a", Ended(Knock(id="1"), Done())))])
    numbers += [order.pending.number for order in told[-1].orders]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4
    await again.stop()


async def test_lookups_see_the_group_and_what_was_committed_before(notes: Store) -> None:
    found: list[tuple[str, ...]] = []

    def decide(state: Note | None, told: Any, now: Any) -> Step[Note]:
        if isinstance(told, Found):
            found.append(told.ids)
            assert state is not None
            return Step(state)
        return NOTE.decide(state, told, now)

    noun = msgspec.structs.replace(NOTE, decide=decide)
    await notes.stop()
    store = Store(Database(str(notes.database.url)), registry(noun), Knock)
    await store.start()
    looks = unit(to("x", Do(lambda state, now: Step(state, lookup=Lookup("note", "text", "here", limit=2)))))
    await store.apply([unit(to("c", writes("here"))), unit(to("b", writes("here"))), looks])
    await store.apply([looks, unit(to("b", writes("!"))), looks, unit(to("a", writes("here"))), looks])
    await store.apply([looks])
    assert found == [("b", "c"), ("b", "c"), ("c",), ("a", "c"), ("a", "c")]
    end = Do(lambda state, now: Step(msgspec.structs.replace(state, is_over=True)))
    await store.apply([unit(to("a", end)), looks])
    await store.apply([looks])
    assert found[-2:] == [("c",), ("c",)]
    places = rows(store, "SELECT name, key, rank, id FROM places ORDER BY id")
    assert places == [("text", "here!", 0, "b"), ("text", "here", 0, "c"), ("text", "", 0, "x")]
    await store.stop()


async def test_places_are_written_only_if_they_changed(notes: Store) -> None:
    await notes.write(lambda tx: tx.connection.exec_driver_sql("DELETE FROM places"))
    await notes.apply([unit(to("a", writes(""))), unit(to("b", writes("now")))])
    assert rows(notes, "SELECT key, id FROM places") == [("now", "b")]


async def test_places_of_a_rule_that_has_become_another_one_are_replaced(notes: Store) -> None:
    def index(state: Note) -> list[Entry]:
        if not state.text:
            raise ValueError
        return [Entry("new", 5)]

    await notes.stop()
    noun = msgspec.structs.replace(NOTE, indexes={"text": index})
    store = Store(Database(str(notes.database.url)), registry(noun), Knock)
    await store.start()
    await store.apply([unit(to("a", writes("1")))])
    assert rows(store, "SELECT key, rank FROM places WHERE id = 'a'") == [("new", 5)]
    await store.stop()


@pytest.mark.parametrize("damage", [b'{"state":{"text":5}}', b"", b"\xff\x00", b'{"state"'])
async def test_a_row_that_cannot_be_read_is_skipped_and_named_and_harms_nobody(notes: Store, damage: bytes) -> None:
    spoil = sa.update(notes.tables.of["note"].table).where(sa.column("id") == "b").values(document=damage)
    await notes.write(lambda tx: tx.add_write(spoil))
    results = await notes.apply(
        [unit(to("a", writes("1", to("b", writes("2"))))), unit(to("b", Make())), unit(to("b", Shrug()), is_asked=True)]
    )
    assert [result.is_done for result in results] == [True, True, False]
    assert [row.id for row in await notes.read(notes.tables.open)] == ["a", "c", "x"]

    def look(connection: sa.Connection) -> Any:
        tables = notes.tables
        page = tables.page(connection, "note", CUSTOMER, Wanted(10))
        return page.found, list(tables.unreadable(connection))

    states, (named,) = await notes.read(look)
    assert [state.text for state in states] == ["", "1"]
    assert (named.kind, named.id) == ("note", "b")
    with pytest.raises(msgspec.DecodeError):
        await notes.read(lambda connection: notes.tables.get(connection, "note", CUSTOMER, "b"))
    assert rows(notes, "SELECT version FROM notes WHERE id = 'b'") == [(1,)]


async def test_what_is_due_is_found_the_earliest_first(notes: Store) -> None:
    def sets(second: int) -> Do:
        return Do(lambda state, now: Step(state, timers={"bell": START + timedelta(seconds=second)}))

    await notes.apply([unit(to("a", sets(3))), unit(to("b", sets(1))), unit(to("c", sets(9)))])
    found = await notes.read(lambda connection: notes.tables.due(connection, START + timedelta(seconds=3)))
    assert [(row.id, row.document.timers) for row in found] == [
        ("b", {"bell": START + timedelta(seconds=1)}),
        ("a", {"bell": START + timedelta(seconds=3)}),
    ]
    await notes.apply([unit(to("b", Do(lambda state, now: Step(state, timers={"bell": None}))))])
    found = await notes.read(lambda connection: notes.tables.due(connection, START + timedelta(seconds=3)))
    assert [row.id for row in found] == ["a"]


async def test_a_list_is_a_customers_own_newest_first_page_by_page(notes: Store) -> None:
    for number in range(5):
        made = Unit(
            (to(f"n{number}", Make()), to(f"n{number}", writes(str(number)))), START + timedelta(days=number + 1)
        )
        await notes.apply([made])
    seen: list[str] = []
    place: Place | None = None
    while True:
        page = await notes.read(
            partial(notes.tables.page, kind="note", customer_id=CUSTOMER, wanted=Wanted(3), before=place)
        )
        if not page.found:
            break
        seen += [state.text for state in page.found]
        place = page.place
    assert seen == ["4", "3", "2", "1", "0", "", "", ""]
    state = await notes.read(lambda connection: notes.tables.get(connection, "note", CUSTOMER, "n3"))
    assert state.text == "3"
    with pytest.raises(NotFoundError):
        await notes.read(lambda connection: notes.tables.get(connection, "note", OTHER, "n3"))


# Versions


# SQLite has one writer.
SHARED = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@SHARED
async def test_a_row_that_somebody_else_has_written_meanwhile_is_read_and_decided_again(
    notes: Store, told: list[Committed]
) -> None:
    """As another node would, between the read and the write."""
    runs = {"a": 0}

    def meddles(state: Note, now: object) -> Step[Note]:
        runs["a"] += 1
        if runs["a"] <= 2:
            _write_elsewhere(notes, "a", f"other {runs['a']} ")
        return Step(msgspec.structs.replace(state, text=state.text + "ours"), (event("ours"),))

    neighbour, own = [unit(to("b", writes("1")))], [unit(to("a", Do(meddles)))]
    outcomes = await in_one_group(notes, neighbour, own)
    assert [result.is_done for (result,) in outcomes] == [True, True]
    assert texts(notes) == {"a": "other 2 ours", "b": "1", "c": "", "x": ""}
    assert runs == {"a": 3}
    assert notes.stale_count == 2
    assert types(notes) == ["note_1", "note_ours"]
    assert [one.type for committed in told for one in committed.events] == ["note_1", "note_ours"]


@SHARED
async def test_a_row_that_is_always_written_by_others_is_given_up_after_five_tries(notes: Store) -> None:
    runs: list[int] = []

    def meddles(state: Note, now: object) -> Step[Note]:
        runs.append(1)
        _write_elsewhere(notes, "a", "theirs")
        return Step(msgspec.structs.replace(state, text="ours"))

    with pytest.raises(UnavailableError, match="Nothing was accepted"):
        await notes.apply([unit(to("a", Do(meddles)))])
    assert len(runs) == 5
    assert texts(notes)["a"] == "theirs"


def _write_elsewhere(store: Store, row_id: str, text: str) -> None:
    rows_of = store.tables.of["note"]
    engine = sa.create_engine(store.database.url)
    with engine.begin() as connection:
        found = connection.execute(rows_of.select().where(rows_of.table.c.id == row_id)).one()
        row = rows_of.row(found)
        assert isinstance(row, Row)
        state = msgspec.structs.replace(row.document.state, text=text)
        document = msgspec.json.encode(msgspec.structs.replace(row.document, state=state))
        connection.execute(
            sa.update(rows_of.table)
            .where(rows_of.table.c.id == row_id)
            .values(document=document, version=rows_of.table.c.version + 1)
        )
    engine.dispose()


@SHARED
async def test_two_stores_with_crossing_cascades_neither_wait_for_each_other_in_a_ring_nor_lose_anything(
    notes: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As several nodes will, each with a lock of its own."""
    monkeypatch.setattr(postgresql, "_NODE_LOCK", 0x0FF4009)
    other = Store(Database(str(notes.database.url)), NOTES, Knock)
    await other.start()
    ids = [f"n{number:02}" for number in range(24)]
    await notes.apply([unit(to(row_id, Make())) for row_id in ids])
    expected: Counter[str] = Counter()
    random = Random(7)

    async def cascade(store: Store, row_ids: list[str]) -> None:
        first, *rest = row_ids
        told = unit(to(first, writes(".", *(to(row_id, writes(".")) for row_id in rest))))
        for _ in range(100):
            with suppress(UnavailableError):
                (result,) = await store.apply([told])
                assert result.is_done
                expected.update(row_ids)
                return
        raise AssertionError("given up")

    async def crowd(store: Store) -> None:
        for _ in range(30):
            await asyncio.gather(*(cascade(store, random.sample(ids, 4)) for _ in range(20)))

    await asyncio.gather(crowd(notes), crowd(other))
    assert {row_id: len(text) for row_id, text in texts(notes).items() if row_id in expected} == expected
    assert sum(expected.values()) == 4 * 1_200
    assert rows(notes, "SELECT count(*) FROM events") == [(4 * 1_200,)]
    assert notes.stale_count + other.stale_count > 0
    assert rows(notes, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    await other.stop()
