"""What stands in the way of a start is said in one sentence, with exit code 1, whatever the command."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.server import OFFHOOK, clean_environment, offhook, wait_until
from tests.ports import free_port
from tests.postgres import Postgres

COMMANDS = {
    "serve": ["serve", "--no-switch"],
    "init": ["init"],
    "reset-password": ["agent", "reset-password", "admin@localhost"],
}
PASSWORD = "Tr0ub4dor"


@pytest.fixture(params=list(COMMANDS))
def command(request: pytest.FixtureRequest) -> list[str]:
    given = COMMANDS[request.param]
    return [*given, "--port", str(free_port())] if given[0] == "serve" else given


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as a server leaves it."""
    folder = tmp_path_factory.mktemp("start") / "data"
    offhook("init", "--data", str(folder))
    with closing(sqlite3.connect(folder / "offhook.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def data(good_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(good_folder, folder)
    return folder


def refusal(command: Sequence[str], *options: str, through: Sequence[str] = ()) -> str:
    """The one line that a start that must fail prints."""
    if through:
        ended = subprocess.run(
            [*through, str(OFFHOOK), *command, *options],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env=clean_environment(),
        )
    else:
        ended = offhook(*command, *options, check=False)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("offhook: ")
    assert line.endswith(".")
    return line


def unprivileged() -> list[str]:
    """What runs a command without the right to write everywhere, which root has."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


def test_a_postgresql_that_is_down(command: list[str], tmp_path: Path) -> None:
    port = free_port()
    url = f"postgresql://offhook:{PASSWORD}@127.0.0.1:{port}/offhook"
    line = refusal(command, "--data", str(tmp_path / "data"), "--database", url)
    assert f"127.0.0.1:{port} cannot be reached: Connection refused." in line
    assert PASSWORD not in line


def test_a_wrong_password(command: list[str], tmp_path: Path, postgres: Postgres) -> None:
    user = f"guarded_{command[-1][:4].replace('@', '')}_{free_port()}"
    postgres.require_password(user, PASSWORD)
    url = postgres.url("postgres").replace("offhook@", f"{user}:wr0ng@")
    line = refusal(command, "--data", str(tmp_path / "data"), "--database", url)
    assert f'password authentication failed for user "{user}"' in line
    assert "wr0ng" not in line


def test_a_database_that_is_missing(command: list[str], tmp_path: Path, postgres: Postgres) -> None:
    line = refusal(command, "--data", str(tmp_path / "data"), "--database", postgres.url("nowhere"))
    assert 'database "nowhere" does not exist' in line


@pytest.mark.parametrize("url", ["mysql://a:Tr0ub4dor@b/c", "postgresql://a:Tr0ub4dor@b:port/c", "nonsense"])
def test_a_url_that_is_none(command: list[str], tmp_path: Path, url: str) -> None:
    line = refusal(command, "--data", str(tmp_path / "data"), "--database", url)
    assert "database.url" in line
    assert PASSWORD not in line


def no_database(file: Path) -> None:
    file.write_bytes(b"Dear diary, today nothing was lost. " * 500)


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def almost_empty(file: Path) -> None:
    os.truncate(file, 60)


def malformed(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE (((' WHERE name = 'events'")


@pytest.mark.parametrize("damage", [no_database, truncated, almost_empty, malformed])
def test_a_damaged_file(command: list[str], data: Path, damage: Callable[[Path], None]) -> None:
    file = data / "offhook.db"
    damage(file)
    before = file.read_bytes()
    line = refusal(command, "--data", str(data))
    assert str(file) in line
    assert "Restore it from a backup" in line
    assert file.read_bytes() == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_database_that_is_read_only(command: list[str], data: Path, what: str) -> None:
    (data / "offhook.db").chmod(0o400)
    if what == "folder":
        data.chmod(0o500)
    line = refusal(command, "--data", str(data), through=unprivileged())
    data.chmod(0o700)
    assert str(data) in line
    assert "ermission" in line


def test_a_folder_that_cannot_be_made(command: list[str], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    line = refusal(command, "--data", str(tmp_path / "data"), through=unprivileged())
    tmp_path.chmod(0o700)
    assert "Permission denied" in line


def test_a_folder_below_a_file(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refusal(command, "--data", str(tmp_path / "file" / "data"))
    assert "Not a directory. Choose another one with --data." in line
    assert "offhook.toml" not in line


@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_a_first_start_whose_output_goes_nowhere_is_a_start_like_any_other(tmp_path: Path, output: str) -> None:
    port = free_port()
    serve = [str(OFFHOOK), "serve", "--no-switch", "--data", str(tmp_path / "data"), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            ["sh", "-c", f'exec "$@" {output}', "sh", *serve],
            stdin=subprocess.DEVNULL,
            stderr=log,
            env=clean_environment(),
        )
    try:
        wait_until(lambda: server.poll() is not None or is_ready(port), "it is ready")
        assert server.poll() is None, (tmp_path / "log").read_text()
        assert "access key" in (tmp_path / "data" / "first-credentials.txt").read_text()
    finally:
        server.terminate()
        assert server.wait(30) == 0


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            status: int = answer.status
    except OSError:
        return False
    return status == 200


def test_a_full_disk(command: list[str], tmp_path: Path) -> None:
    """On a disk of 100 KiB, which only the command sees."""
    script = f"mount -t tmpfs -o size=100k none '{tmp_path}' && exec \"$@\""
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a disk of their own")
    line = refusal(command, "--data", str(tmp_path / "data"), through=alone)
    assert "disk" in line


def test_a_schema_that_the_user_may_not_make(command: list[str], tmp_path: Path, postgres: Postgres) -> None:
    user = f"guest_{free_port()}"
    postgres.require_password(user, PASSWORD)
    url = postgres.new_database().replace("offhook@", f"{user}:{PASSWORD}@")
    line = refusal(command, "--data", str(tmp_path / "data"), "--database", url)
    assert "cannot be prepared: permission denied for schema public" in line
    assert PASSWORD not in line


def test_a_profile_that_cannot_be_written(tmp_path: Path) -> None:
    """The folder can be written, and this one file cannot."""
    (tmp_path / "data" / "profile.json").mkdir(parents=True)
    line = refusal(COMMANDS["init"], "--data", str(tmp_path / "data"))
    assert "profile.json cannot be written: Is a directory." in line
    # Nothing was made whose credentials nobody saw.
    assert not (tmp_path / "data" / "offhook.db").exists()
