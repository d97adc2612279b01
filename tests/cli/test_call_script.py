"""`scripts/call.py` among the events of others: it finds its own call, and ends."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from offhook.cli.remote.following import LogReader

SCRIPT = Path(__file__).parents[2] / "scripts" / "call.py"
NUMBER = "+15559876543"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("call_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.5)
    return module


def event(type_: str, subject: str, **data: Any) -> dict[str, Any]:
    return {"type": type_, "subject": subject, "data": data, "position": 1, "tm_create": "2026-05-01T12:00:00Z"}


class BusyServer:
    """Whose log has a new event of somebody else whenever it is asked. For ten seconds."""

    def __init__(self) -> None:
        self.position = 0
        self.ends_at_s = time.monotonic() + 10

    def ask(self, *_: Any, **__: Any) -> dict[str, Any]:
        assert time.monotonic() < self.ends_at_s, "it still asks"
        self.position += 1
        return {"result": [event("chat_created", "chat/1") | {"position": self.position}], "next_cursor": self.position}


def test_a_call_that_does_not_arrive_is_given_up_however_busy_the_server_is(script: ModuleType) -> None:
    server: Any = BusyServer()
    with subprocess.Popen(["true"]) as phone:
        phone.wait()
        with pytest.raises(script.CallError, match="No call arrived"):
            script._follow(LogReader(server, {}), script.OneCall(NUMBER), phone, "127.0.0.1:5060")
    assert server.position < 100


@pytest.mark.parametrize("data", [{}, {"destination": None}, {"destination": "x"}, {"destination": {"name": "x"}}])
def test_what_somebody_published_under_the_name_of_an_event_is_passed_over(
    script: ModuleType, data: dict[str, Any]
) -> None:
    one = script.OneCall(NUMBER)
    assert not one.takes(event("call_created", "order/1", **data))
    assert one.takes(event("call_created", "call/1", destination={"target": NUMBER}, activeflow_id="f"))
    assert one.takes(event("call_hungup", "call/1", hangup_reason="normal"))
    assert not one.is_over
    assert one.takes(event("activeflow_deleted", "activeflow/f"))
    assert (one.is_over, one.reason) == (True, "normal")
