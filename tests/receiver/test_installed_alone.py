"""The distribution `offhook-receiver`: installed by itself, beside the server, and into an example's environment."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from offhook.domain.delivery.signature import new_secret
from tests.acceptance.conftest import server as server
from tests.acceptance.server import OffhookServer, clean_environment
from tests.examples.program import running

from .signing import EVENT_ID, body_of, signed_headers

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "packages" / "receiver"
UV = Path(sys.executable).with_name("uv")
SECRET = new_secret()
VERIFIES = """
import sys
before = {*sys.modules}  # what this Python imports by itself
import importlib.util, json
from offhook.receiver import BadSignatureError, DuplicateFilter, verify
request = json.load(sys.stdin)
event = verify(request["headers"], request["body"].encode(), request["secret"])
try:
    verify(request["headers"], b"{}", request["secret"])
except BadSignatureError as error:
    print(event.id, error.reason)
print(*sorted({name.partition(".")[0] for name in {*sys.modules} - before} - sys.stdlib_module_names - {"__main__"}))
print(*[name for name in ("msgspec", "litestar", "sqlalchemy", "aiohttp", "flask") if importlib.util.find_spec(name)])
"""


def run(*command: str | Path, told: str | None = None) -> str:
    """What a command that is `told` something prints; it must end well, without this checkout's sources in its way."""
    environment = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        cwd="/",
        input=told,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(project: Path, folder: Path) -> Path:
    run(UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, project)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def receiver_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(PROJECT, tmp_path_factory.mktemp("receiver"))


@pytest.fixture(scope="session")
def server_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("server"))


class Environment:
    """An environment that holds nothing but what is put into it."""

    def __init__(self, folder: Path) -> None:
        run(UV, "venv", "--python", sys.executable, folder)
        self.python = folder / "bin" / "python"
        (self._site_packages,) = folder.glob("lib/python*/site-packages")

    def pip(self, verb: str, *arguments: str | Path) -> None:
        run(UV, "pip", verb, "--python", self.python, *arguments)

    def copy(self, name: str) -> None:
        """Take over a distribution of the tests' own environment, and what it needs; no index is asked."""
        found = importlib.metadata.distribution(name)
        for path in found.files or []:
            if ".." not in path.parts:
                place = self._site_packages / path
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path.locate(), place)
        for text in found.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                self.copy(needed.name)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def verified_by(python: Path) -> list[str]:
    """The lines of a program that verifies a webhook with what is installed there."""
    body = body_of()
    request = {"headers": signed_headers(SECRET, body, at=datetime.now(UTC)), "body": body.decode(), "secret": SECRET}
    return run(python, "-I", "-c", VERIFIES, told=json.dumps(request)).splitlines()


def test_alone_it_needs_nothing_but_python(environment: Environment, receiver_wheel: Path) -> None:
    environment.pip("install", "--no-index", receiver_wheel)
    assert verified_by(environment.python) == [f"{EVENT_ID} BAD_SIGNATURE", "offhook", ""]


def test_beside_the_server_neither_is_in_the_others_way(
    environment: Environment, receiver_wheel: Path, server_wheel: Path
) -> None:
    names = [set(zipfile.ZipFile(wheel).namelist()) for wheel in (receiver_wheel, server_wheel)]
    assert "offhook/receiver/standard_webhooks.py" in names[0]
    assert "offhook/domain/delivery/standard_webhooks.py" in names[1]
    assert not names[0] & names[1]
    environment.pip("install", "--no-index", "--no-deps", receiver_wheel, server_wheel)
    version = run(environment.python, "-I", "-c", "import offhook, offhook.receiver; print(offhook.__version__)")
    assert f"-{version.strip()}-" in receiver_wheel.name
    environment.pip("uninstall", "offhook")
    assert verified_by(environment.python)[0] == f"{EVENT_ID} BAD_SIGNATURE"
    environment.pip("install", "--no-index", "--no-deps", server_wheel)
    environment.pip("uninstall", "offhook-receiver")
    run(environment.python, "-I", "-c", "import offhook.domain.delivery.standard_webhooks")


@pytest.fixture
def flask_environment(environment: Environment, receiver_wheel: Path) -> Environment:
    environment.pip("install", "--no-index", receiver_wheel)
    environment.copy("flask")
    return environment


def test_the_flask_example_takes_what_a_server_signed(flask_environment: Environment, server: OffhookServer) -> None:
    secret = server.credentials["webhook_secret"]
    command = [str(flask_environment.python), "-I", "-u", "python/verified_flask.py"]
    with running(command, WEBHOOK_SECRET=secret) as program:
        uri = f"http://127.0.0.1:{program.port}/voipbin/webhook"
        server.ask("PUT", "/v1.0/customer", {"webhook_uri": uri, "webhook_method": "POST"})
        server.command("customer", "test")
        program.wait_for_line("ended: normal")
        server.ask("POST", "/v1.0/customer/webhook_secret/rotate")
        server.command("customer", "test")  # signed with both for a day
        assert program.request(body_of(), signed_headers(new_secret(), body_of(), at=datetime.now(UTC)))[0] == 400


def test_what_it_says_of_itself_is_true() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    oldest = project["requires-python"].removeprefix(">=")
    assert set(ruff["per-file-target-version"].values()) == {"py" + oldest.replace(".", "")}
    assert f"mypy --python-version {oldest} " in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert project["dependencies"] == []
    assert (PROJECT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
