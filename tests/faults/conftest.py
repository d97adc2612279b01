"""A customer's endpoint, and how often to kill."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def rounds() -> int:
    """How many rounds of a destructive test: more with `make test-all`."""
    return int(os.environ.get("OFFHOOK_TEST_ROUNDS", "6"))
