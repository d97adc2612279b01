"""Activeflows that earlier versions kept go on where they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alembic.command
import msgspec
import sqlalchemy as sa

from offhook.domain.delivery.signature import new_secret
from offhook.domain.step import Due, Tell
from offhook.domain.switch.commands import SwitchCommand
from offhook.flows.activeflow import Timer
from offhook.store.commit.unit import Unit
from offhook.store.database.database import Database, _alembic_config
from offhook.store.queries import customers
from offhook.store.store import Store
from offhook.telephony.nouns import NOUNS

# As the last version before wrote it: it sleeps for two seconds, then answers, plays and echoes.
KEPT = (Path(__file__).parent / "fixtures" / "activeflow_before_0008.json").read_bytes()
DOCUMENT = msgspec.json.decode(KEPT)
SHOWN = DOCUMENT["state"]["activeflow"]


def old_row(key: int, row_id: str, document: bytes) -> dict[str, Any]:
    return {
        "key": key,
        "id": row_id,
        "customer_id": SHOWN["customer_id"],
        "version": 3,
        "is_open": True,
        "is_final": False,
        "due_at": 5,
        "document": document,
        "tm_create": 1,
        "tm_update": 2,
    }


async def test_an_activeflow_that_slept_goes_on_with_the_next_action(empty_url: str) -> None:
    database = Database(empty_url)
    with database.writer.begin() as connection:
        alembic.command.upgrade(_alembic_config(connection), "0006")
        found = [old_row(1, SHOWN["id"], KEPT), old_row(2, "damaged", b'{"state":{}}')]
        table = sa.table("activeflows", *map(sa.column, found[0]))
        connection.execute(sa.insert(table), found)
        block = sa.table("key_blocks", sa.column("name"), sa.column("next_key"))
        connection.execute(sa.insert(block).values(name="activeflows", next_key=10_001))
    database.close()
    store = Store(Database(empty_url), NOUNS, SwitchCommand)
    await store.start()
    try:
        await store.write(lambda tx: customers.add_customer(tx, SHOWN["customer_id"], new_secret(), {}))
        (row,) = await store.read(store.tables.open)
        assert row.document.timers == {Timer.LASTS: msgspec.convert(DOCUMENT["timers"]["sleep"], type(row.due_at))}
        due = Due(Timer.LASTS, row.document.timers[Timer.LASTS])
        unit = Unit((Tell("activeflow", row.id, due),), row.document.timers[Timer.LASTS], False, "")
        (result,) = await store.apply([unit])
        (state,) = result.states
        assert state.activeflow.current_action.type == "answer"
        assert [action.type for action in state.activeflow.executed_actions] == ["sleep"]
    finally:
        await store.stop()
