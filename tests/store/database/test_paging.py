"""A page begins behind a place, also among rows of one moment, and says where the next one begins."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import pytest
import sqlalchemy as sa

from offhook.domain.place import Place
from offhook.store.database import paging
from offhook.store.database.paging import Listed, page_before

ROWS = sa.Table("rows", sa.MetaData(), sa.Column("key", sa.BigInteger), sa.Column("tm_create", sa.BigInteger))


def page(before: Place | None, size: int = 10, *, without: int = -1, wanted: Container[int] = range(5)) -> Listed[int]:
    def read(row: sa.Row[Any]) -> int | None:
        return int(row.key) if row.key in wanted and row.key != without else None

    with sa.create_engine("sqlite://").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rows (key INTEGER, tm_create INTEGER)")
        for key, created_us in enumerate((0, 500_000, 500_000, 500_001, 1_000_000)):
            connection.exec_driver_sql("INSERT INTO rows VALUES (?, ?)", (key, created_us))
        return page_before(connection, sa.select(ROWS), ROWS, before, size, read)


@pytest.mark.parametrize(
    ("before", "older"),
    [
        (None, [4, 3, 2, 1, 0]),
        (Place(1_000_000, 5), [4, 3, 2, 1, 0]),
        (Place(1_000_000, 4), [3, 2, 1, 0]),
        (Place(500_001, 0), [2, 1, 0]),
        (Place(500_000, 2), [1, 0]),
        (Place(500_000, 0), [0]),
        (Place(0, 0), []),
    ],
)
def test_a_page_holds_what_is_older(before: Place | None, older: list[int]) -> None:
    assert page(before).found == older


def test_pages_put_together_are_the_list() -> None:
    found: list[int] = []
    place: Place | None = None
    while (listed := page(place, 2)).place is not None:
        found += listed.found
        place = listed.place
    assert found == [4, 3, 2, 1, 0]


def test_a_row_that_cannot_be_read_is_left_out_and_does_not_stop_the_list() -> None:
    listed = page(None, 1, without=4)
    assert (listed.found, listed.place) == ([3], Place(500_001, 3))


def test_the_end_is_told_from_a_page_without_anything() -> None:
    assert page(Place(500_000, 0), 1, without=0) == Listed([], None)


def test_a_list_in_which_little_is_wanted_is_read_a_stretch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "_MAX_ROWS", 2)
    monkeypatch.setattr(paging, "_STRETCH", 1)
    first = page(None, 1, wanted={0})
    assert (first.found, first.place is not None) == ([], True)
    found, place = [], first.place
    while place is not None:
        listed = page(place, 1, wanted={0})
        found += listed.found
        place = listed.place
    assert found == [0]
