"""Ids that rules make."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.step import made_id


@given(st.uuids(), st.integers(0, 10**9))
def test_an_id_that_a_rule_makes_is_the_uuid5_of_its_parent_and_the_count(parent: uuid.UUID, number: int) -> None:
    assert made_id(str(parent), number) == str(uuid.uuid5(parent, str(number)))
