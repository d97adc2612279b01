"""A server without a phone system, and a customer's endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OffhookServer]:
    server = OffhookServer(tmp_path / "data", "--no-switch")
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()
