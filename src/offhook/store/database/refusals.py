"""Why a database cannot be taken at the start: one sentence that says what is wrong and what to do."""

from __future__ import annotations

import re
import sqlite3

import psycopg
import sqlalchemy as sa

from offhook.domain.errors import MisconfiguredError
from offhook.store.database.database import driver_error

# By SQLite's primary result code (sqlite.org, rescode.html): what is wrong with the file, and what to do.
_DAMAGED = "Restore it from a backup, or move it away to begin with an empty one."
_PERMISSIONS = "Check the permissions of the file and of its folder."
_SQLITE = {
    sqlite3.SQLITE_NOTADB: ("is no SQLite database", _DAMAGED),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _DAMAGED),
    sqlite3.SQLITE_READONLY: ("cannot be written", _PERMISSIONS),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _PERMISSIONS),
    sqlite3.SQLITE_PERM: ("cannot be opened", _PERMISSIONS),
    sqlite3.SQLITE_FULL: ("cannot be written", "Make room on its disk."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Look for a full or failing disk."),
    sqlite3.SQLITE_BUSY: ("is in use by another program", "Close that first."),
}


def refusal_of(error: BaseException, url: sa.URL) -> MisconfiguredError:
    """The sentence for a database error. It never shows the password, nor any other option of `url`."""
    cause = driver_error(error)
    if isinstance(cause, sqlite3.Error):
        return MisconfiguredError(_of_sqlite(cause, url), field="database.url")
    return MisconfiguredError(_of_postgresql(cause, url), field="database.url")


def reason_of(error: BaseException) -> str:
    """The heart of what the driver says, which repeats where it came from and adds lines of hints."""
    first = (str(driver_error(error)).strip() or repr(error)).splitlines()[0]
    return re.sub(r"^.*failed: |(FATAL|ERROR): +", "", first).rstrip(".")


def _of_sqlite(cause: sqlite3.Error, url: sa.URL) -> str:
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    what, remedy = _SQLITE.get(code, ("cannot be used", "Is it Offhook's? Choose another folder with --data."))
    return f"The database {url.database} {what}: {reason_of(cause)}. {remedy}"


def _of_postgresql(cause: BaseException, url: sa.URL) -> str:
    server = f"PostgreSQL at {url.host or 'the local socket'}:{url.port or 5432}"
    reason = reason_of(cause)
    match cause:
        case psycopg.OperationalError() if cause.sqlstate is None and "FATAL" not in str(cause):
            return f"{server} cannot be reached: {reason}. Start it, or correct database.url."
        case psycopg.OperationalError() if cause.sqlstate is None:
            return f"{server} does not let us in: {reason}. Correct database.url, or create what it names."
        case psycopg.ProgrammingError() if cause.sqlstate is None:
            return f"database.url cannot be used: {reason}."
    return f"The database {url.database} on {server} cannot be prepared: {reason}."
