"""The core's stories, told once more on real databases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest

from offhook.domain.switch.commands import SwitchCommand
from tests.core import calls, test_greeting, test_queueing, test_trouble
from tests.core.calls import Calls
from tests.core.test_queueing import Hall
from tests.store.commit.living import OnStore, running


class StoredCalls(OnStore, Calls):
    """Calls on a database."""


class StoredHall(OnStore, Hall):
    """Queues, agents and callers on a database."""


def stories(module: ModuleType) -> list[Callable[[], None]]:
    """Those that are told without drawing anything."""
    return [
        story
        for name, story in vars(module).items()
        if name.startswith("test_") and not hasattr(story, "hypothesis") and not hasattr(story, "pytestmark")
    ]


@pytest.mark.parametrize("story", stories(test_queueing), ids=lambda story: story.__name__[5:])
def test_queueing_on_a_database(database_url: str, monkeypatch: pytest.MonkeyPatch, story: Callable[[], None]) -> None:
    with running(database_url, test_queueing.NOUNS, SwitchCommand, test_queueing.CUSTOMER) as opened:
        monkeypatch.setattr(test_queueing, "Hall", partial(StoredHall, opened))
        story()


@pytest.mark.parametrize(
    "story", [*stories(test_greeting), *stories(test_trouble)], ids=lambda story: story.__name__[5:]
)
def test_calls_on_a_database(database_url: str, monkeypatch: pytest.MonkeyPatch, story: Callable[[], None]) -> None:
    with running(database_url, calls.NOUNS, SwitchCommand, calls.CUSTOMER) as opened:
        for module in (test_greeting, test_trouble):
            monkeypatch.setattr(module, "Calls", partial(StoredCalls, opened))
        story()
