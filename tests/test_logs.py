"""What reaches a log, and what never does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from offhook.logs import configure_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_no_password_that_a_variable_held(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", form)

    def log_in(password: str) -> None:
        raise ValueError("somebody else's fault")

    try:
        log_in("s3cret-of-" + form)
    except ValueError:
        structlog.get_logger().exception("login.failed")
    shown = capsys.readouterr().err
    assert "somebody else's fault" in shown
    assert "log_in" in shown
    assert "s3cret-of-" + form not in shown
