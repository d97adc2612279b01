"""What every room's tests may use."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator

import pytest

from tests.postgres import Postgres, running_postgres
from tests.rounds import SEED


def pytest_configure() -> None:
    """Ctrl-C means to programs what it means, also where the tests themselves were begun in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """What is left to chance in one test. Pytest shows what is printed of a test that fails."""
    print(f"OFFHOOK_TEST_SEED={SEED} repeats what was left to chance")
    return random.Random(f"{SEED} {request.node.nodeid}")
