"""A page token means a moment, however its zeros are written."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from offhook.domain.errors import InvalidError
from offhook.store.paging import page_of

ROWS = sa.table("rows", sa.column("tm_create", sa.BigInteger), sa.column("key", sa.BigInteger))
NINE_US = 1_777_712_400_000_000  # 2026-05-02T09:00:00Z


def page(token: str) -> list[int]:
    with sa.create_engine("sqlite://").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rows (key INTEGER, tm_create INTEGER)")
        for key, after_us in enumerate((0, 500_000, 500_000, 500_001, 1_000_000)):
            connection.exec_driver_sql("INSERT INTO rows VALUES (?, ?)", (key, NINE_US + after_us))
        return page_of(connection, sa.select(ROWS), ROWS, token, 10, lambda row: int(row.key)).result  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("token", "older"),
    [
        ("2026-05-02T09:00:00.500000Z.2", [1, 0]),
        ("2026-05-02T09:00:00.5Z.2", [1, 0]),
        ("2026-05-02T09:00:00.50Z.2", [1, 0]),
        ("2026-05-02T09:00:00.5Z", [0]),
        ("2026-05-02T09:00:00.500001Z", [2, 1, 0]),
        ("2026-05-02T09:00:01Z", [3, 2, 1, 0]),
        ("2026-05-02T09:00:01Z.5", [4, 3, 2, 1, 0]),
        ("2026-05-02T09:00:01.000000Z.4", [3, 2, 1, 0]),
        ("", [4, 3, 2, 1, 0]),
    ],
)
def test_trimmed_zeros_are_the_same_moment(token: str, older: list[int]) -> None:
    assert page(token) == older


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "2026-05-02T09:00:00.Z",
        "2026-05-02T09:00:00.5000001Z",
        "2026-13-02T09:00:00Z",
        "2026-05-02T09:00:00",
        "2026-05-02T09:00:00Z.",
        "2026-05-02T09:00:00Z.x",
        "२०२६-05-02T09:00:00Z",
        " 2026-05-02T09:00:00Z",
    ],
)
def test_anything_else_names_its_field(token: str) -> None:
    with pytest.raises(InvalidError) as refused:
        page(token)
    assert refused.value.field == "page_token"
