"""Rows that this version and every released one have kept are read by the code as it is.

`tests/fixtures/rows/<noun>.<n>.json` are never changed once they are released. A change of shape that they cannot be
read through needs a migration and a new file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.store.commit.port import Document
from offhook.telephony.nouns import COMMAND_TYPE
from tests.core.calls import NOUNS

ROWS = sorted((Path(__file__).parent.parent / "fixtures" / "rows").glob("*.json"))


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.name)
def test_a_row_that_was_kept_is_read(path: Path) -> None:
    noun = NOUNS[path.name.split(".")[0]]
    kept = path.read_bytes()
    document: Document[Any, Any] = msgspec.json.decode(kept, type=_document(noun.state_type))
    assert not noun.is_final(document.state)
    assert noun.customer_of(document.state)
    check_kept(msgspec.json.decode(kept), msgspec.to_builtins(document))


def test_there_is_a_row_of_every_noun() -> None:
    assert {path.name.split(".")[0] for path in ROWS} == set(NOUNS)


def check_kept(kept: Any, read: Any) -> None:
    """Nothing that was kept has vanished; there may be more fields by now."""
    if isinstance(kept, dict):
        for name, value in kept.items():
            check_kept(value, read[name])
    elif isinstance(kept, list):
        for one, other in zip(kept, read, strict=True):
            check_kept(one, other)
    else:
        assert kept == read


def _document(state_type: Any) -> Any:
    return Document[state_type, COMMAND_TYPE]
