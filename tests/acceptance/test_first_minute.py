"""The first minute: what a person sees at the terminal who starts the server, calls, and has a receiver that fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import clean_environment, offhook, wait_until
from tests.acceptance.terminal import WIDTH, ServerTerminal
from tests.examples.program import EXAMPLES, running
from tests.ports import free_port

CALL = Path(__file__).parents[2] / "scripts" / "call.py"
TALK_S = 4
LAST_OF_THE_START = re.compile(r"\n  customer id     [0-9a-f-]{36}\n")


@contextmanager
def started(data: Path, *options: str, **environment: str) -> Iterator[ServerTerminal]:
    """A first start that has said all it has to say."""
    terminal = ServerTerminal(data, "--port", str(free_port()), *options, **environment)
    try:
        wait_until(lambda: LAST_OF_THE_START.search(terminal.text), "the credentials are shown")
        yield terminal
    finally:
        terminal.close()


def after_the_start(terminal: ServerTerminal) -> str:
    return LAST_OF_THE_START.split(terminal.text)[1]


def test_nothing_follows_the_credentials_until_something_happens(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data, "--no-switch") as terminal:
        assert "is ready" in terminal.text
        offhook("customer", "show", "--data", str(data))
        offhook("trigger", "call", "--fast", "--data", str(data))
        assert terminal.stop() == 0
        followed = after_the_start(terminal).replace("^C", "").split("\n")
        assert [line for line in followed if line and "Stopping" not in line] == []
        assert "Stopping" in terminal.text
    # They were seen, so that they need not lie about.
    assert not (data / "first-credentials.txt").exists()
    key = json.loads((data / "profile.json").read_text())["access_key"]
    assert re.search(rf"access key +{re.escape(key)}\n", terminal.text)


def test_a_level_by_name_shows_the_rest(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data, "--no-switch", "--log-level", "info") as terminal:
        offhook("customer", "show", "--data", str(data))
        terminal.wait_for("web.request")
        assert terminal.stop() == 0


def test_credentials_are_shown_although_the_start_is_cut_short(tmp_path: Path) -> None:
    data, password = tmp_path / "data", tmp_path / "password"
    password.write_text("x")
    nobody = ("--asterisk", f"http://127.0.0.1:{free_port()}/ari", "--asterisk-user", "offhook")
    with started(data, *nobody, "--asterisk-password-file", str(password)) as terminal:
        assert "Waiting for: the phone system" in terminal.words
        assert "is ready" not in terminal.text
        assert terminal.stop() == 0
    assert len(LAST_OF_THE_START.findall(terminal.text)) == 1


def test_a_webhook_that_fails_is_one_warning_in_plain_words_and_one_line_when_it_answers_again(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    environment = {"OFFHOOK_DELIVERY__RETRY_SCHEDULE": ",".join(["200ms"] * 40)}
    with started(data, "--no-switch", **environment) as terminal:
        uri = f"http://127.0.0.1:{port}/geheim?token=geheim"
        offhook("customer", "set", "--data", str(data), "--webhook-uri", uri, "--webhook-method", "POST")
        offhook("trigger", "call", "--fast", "--data", str(data))
        terminal.wait_for(f"fails. Nothing listens on 127.0.0.1:{port}.")
        terminal.wait_for("→ Start your program, or correct the address and port of webhook_uri.")
        wait_until(lambda: attempts_of(data) > 3, "it was tried several times")
        receiver = Receiver(port=port)
        try:
            terminal.wait_for("answers again")
        finally:
            receiver.close()
        assert terminal.stop() == 0
        said = after_the_start(terminal)
    assert (said.count("Warning:"), said.count("answers again")) == (1, 1)
    assert "geheim" not in terminal.text
    (warning,) = [line for line in said.split("\n") if "Warning:" in line]
    assert warning.endswith(f"fails. Nothing listens on 127.0.0.1:{port}."), "it is one line, and its advice another"
    assert max(len(line) for line in terminal.text[: -len(said)].split("\n")) <= WIDTH


def attempts_of(data: Path) -> int:
    rows = json.loads(offhook("deliveries", "list", "--data", str(data), "--json").stdout)
    counts: list[int] = [row["attempt_count"] for row in rows["result"]]
    return max(counts)


def test_a_call_is_shown_as_it_happens_and_is_one_line_on_the_servers_terminal(tmp_path: Path) -> None:
    data, sip = tmp_path / "data", f"127.0.0.1:{free_port()}"
    with started(data, "--sip", sip, OFFHOOK_SWITCH__RING_TIME="300ms") as terminal:
        with dialling(data, sip) as caller:
            assert caller.stdout is not None
            shown: list[str] = []
            seen_s: dict[str, float] = {}
            for told in caller.stdout:
                shown.append(told)
                seen_s |= {name: time.monotonic() for name in ("call_answered", "call_hungup") if name in told}
            assert caller.wait(30) == 0
        terminal.wait_for("Incoming call +15551234567 → +15559876543: normal, ")
        assert terminal.stop() == 0
    # While somebody talked, and not all at once afterwards.
    assert seen_s["call_hungup"] - seen_s["call_answered"] > TALK_S / 4
    types = [word for line in shown for word in line.split() if word.startswith(("call_", "activeflow_"))]
    assert [name for name in types if name.startswith("call_")] == [
        *("call_created", "call_ringing", "call_answered", "call_updated", "call_updated", "call_hungup")
    ]
    assert (types[0], types[-1]) == ("call_created", "activeflow_deleted")
    assert "The call is over: normal." in "".join(shown)
    assert max(len(line.rstrip("\n")) for line in shown) <= WIDTH
    (line,) = [line for line in after_the_start(terminal).split("\n") if "+15551234567" in line]
    assert re.fullmatch(r"\d\d:\d\d:\d\d UTC  Incoming call \+15551234567 → \+15559876543: normal, \d+\.\d s", line)


def test_a_call_that_nobody_takes_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data, "--no-switch") as terminal:
        with dialling(data, f"127.0.0.1:{free_port()}") as caller:
            output, errors = caller.communicate(timeout=60)
        assert caller.returncode == 1
        assert output.startswith("Dialling ")
        assert errors.startswith("call: No call arrived.")
        assert terminal.stop() == 0
    with dialling(data, "127.0.0.1:5060") as caller:
        output, errors = caller.communicate(timeout=60)
    assert (caller.returncode, output) == (1, "")
    assert errors.startswith("call: No server answers at ")


@contextmanager
def dialling(data: Path, sip: str) -> Iterator[subprocess.Popen[str]]:
    caller = subprocess.Popen(
        [sys.executable, str(CALL), "--data", str(data), "--talk", str(TALK_S), sip],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(PYTHONUNBUFFERED="1"),
    )
    try:
        yield caller
    finally:
        caller.kill()
        caller.wait(10)


def test_the_first_receiver_sees_a_call_end_with_the_secret_that_the_command_line_tells(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data, "--no-switch") as terminal:
        secret = offhook("customer", "secret", "--data", str(data)).stdout
        assert re.fullmatch(r"whsec_\S+\n", secret)
        with running([sys.executable, "python/verified_plain.py"], WEBHOOK_SECRET=secret.strip()) as program:
            uri = f"http://127.0.0.1:{program.port}/voipbin/webhook"
            offhook("customer", "set", "--data", str(data), "--webhook-uri", uri, "--webhook-method", "POST")
            offhook("trigger", "call", "--fast", "--data", str(data))
            program.wait_for_line("ended: normal")
        assert terminal.stop() == 0


def test_the_first_receiver_needs_no_more_than_the_server_does() -> None:
    look = (
        "import runpy, sys; before = set(sys.modules);"
        "runpy.run_path('python/verified_plain.py', run_name='looked at');"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = subprocess.run(
        [sys.executable, "-c", look],
        cwd=EXAMPLES,
        check=True,
        capture_output=True,
        text=True,
        env=clean_environment(WEBHOOK_SECRET=secret),
    )
    # The last is what msgspec uses where it is there.
    assert set(found.stdout.split()) <= {"offhook", "msgspec", "typing_extensions"}


@pytest.mark.parametrize("file", ["README.md", "docs/tutorial/first-webhook.md"])
def test_the_first_steps_start_that_receiver(file: str) -> None:
    text = (EXAMPLES.parent / file).read_text(encoding="utf-8")
    line = "WEBHOOK_SECRET=$(.venv/bin/offhook customer secret) .venv/bin/python examples/python/verified_plain.py"
    assert line in text
    assert text.index(line) < text.index("/v1.0/customer?token=")
