"""Databases as the first start of a server leaves them: with this version's schema and without a row.

The migrations run once for each kind, which costs a tenth of a second; what tests get are copies.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from offhook.store.database.database import Database, sqlite_url


def sqlite_database(file: Path) -> str:
    """The URL of the database in `file`, which is made if it is not there."""
    if not file.exists():
        shutil.copy(_migrated(), file)
    return sqlite_url(file)


def migrate(url: str) -> None:
    """Make the schema."""
    database = Database(url)
    database.migrate()
    database.close()


@functools.cache
def _migrated() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="offhook-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(sqlite_url(folder / "offhook.db"))
    return folder / "offhook.db"
