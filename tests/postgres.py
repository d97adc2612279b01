"""A real PostgreSQL for a test run: started from the binaries of a Python package, on a free port of the loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pgserver
import psycopg

from tests.databases import migrate
from tests.ports import free_port

# initdb and postgres refuse to be run by root: any other user will do, and needs no entry anywhere.
_UNPRIVILEGED = 65_534
_BINARIES = Path(pgserver.__file__).parent / "pginstall"


class Postgres:
    """The server, and databases on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._has_template = False
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._home = _BINARIES if self._user is None else _reachable(folder)
        self._data = folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self._data, self._user, self._user)
        self._run("initdb", "-D", str(self._data), "-U", "offhook", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(self._home / "bin" / "postgres"), "-D", str(self._data)),
                    *("-p", str(self.port), "-h", "127.0.0.1"),
                    # Processes are killed here, never the machine: a start after that need not sync every file.
                    *("-k", "", "-c", "fsync=off", "-c", "full_page_writes=off"),
                    # Hundreds of databases, each for some seconds: it would start a process for one after another.
                    *("-c", "autovacuum=off"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=self._user,
                group=self._user,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop at once, as if the machine had lost it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def url(self, database: str) -> str:
        return f"postgresql://offhook@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self._create(name, "template1")
        return self.url(name)

    def migrated_database(self) -> str:
        """The URL of a database as the first start of a server leaves it (see `tests.databases`)."""
        if not self._has_template:
            self._create("migrated", "template1")
            migrate(self.url("migrated"))
            self._has_template = True
        name = f"test_{secrets.token_hex(6)}"
        self._create(name, "migrated")
        return self.url(name)

    def _create(self, name: str, template: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")

    def require_password(self, user: str, password: str) -> None:
        """Make a user who has to give it; all others are trusted."""
        hba = self._data / "pg_hba.conf"
        hba.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE USER {user} PASSWORD '{password}'")
            connection.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._home / "bin" / program), *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            user=self._user,
            group=self._user,
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="offhook-postgres-"))
    folder.chmod(0o755)
    server = Postgres(folder)
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(folder: Path) -> Path:
    """The binaries where an unprivileged user can read them: a checkout below /root, for one, cannot be entered."""
    if all(parent.stat().st_mode & 0o001 for parent in _BINARIES.parents):
        return _BINARIES
    copy = folder / "pginstall"
    shutil.copytree(_BINARIES, copy, symlinks=True)
    return copy
