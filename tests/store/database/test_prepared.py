"""A prepared statement knows every value that it needs."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from offhook.store.database.prepared import Prepared

ROWS = sa.Table("rows", sa.MetaData(), sa.Column("key", sa.BigInteger), sa.Column("name", sa.Text))


@pytest.mark.parametrize("dialect_name", ["sqlite", "postgresql"])
def test_a_parameter_that_is_not_named_is_refused_and_not_null(dialect_name: str) -> None:
    statement = sa.update(ROWS).where(ROWS.c.key == sa.bindparam("of_key")).values(name=sa.bindparam("new_name"))
    Prepared(statement, ("of_key", "new_name"), dialect_name)
    with pytest.raises(AssertionError, match="new_name"):
        Prepared(statement, ("of_key",), dialect_name)


def test_what_the_dialect_adds_of_its_own_is_there() -> None:
    statement = sa.select(ROWS.c.key).order_by(ROWS.c.key).limit(sa.bindparam("count", type_=sa.Integer)).offset(1)
    prepared = Prepared(statement, ("count",), "sqlite")
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rows (key INTEGER, name TEXT)")
        connection.exec_driver_sql("INSERT INTO rows VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        cursor = connection.connection.cursor()
        assert prepared.fetch(cursor, count=1) == [(2,)]
    engine.dispose()
