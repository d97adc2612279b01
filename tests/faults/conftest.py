"""A customer's endpoint, and how often to kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.receiver import Receiver
from tests.rounds import ROUNDS


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A round starts a server anew, which takes seconds, more on a busy machine: more rounds may take longer."""
    for item in items:
        if "rounds" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(300 + 30 * ROUNDS))


@pytest.fixture
def rounds() -> int:
    """How many rounds of a destructive test: more with `make test-all`."""
    return ROUNDS
