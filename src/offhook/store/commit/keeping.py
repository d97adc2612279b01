"""What of a row a database can keep, found out while the unit that changed it can still be dropped.

In the flush it would be too late: a document that cannot be encoded, or a text that PostgreSQL does not take, would
fail the whole group.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from offhook.store.commit.port import Write

MAX_ROW_BYTES = 4 * 1024 * 1024
"""The largest document."""
# Such texts are in indexes, and PostgreSQL's entries may have 2,700 bytes (PostgreSQL 16, section 67.4).
_MAX_TEXT = 200
_MAX_RANK = 2**63

_encoder = msgspec.json.Encoder()


def is_keepable(text: str) -> bool:
    """Whether it can be the id of a row, or a key in an index."""
    return len(text) <= _MAX_TEXT and text.isprintable()


def encoded(write: Write) -> Write:
    """The same with its document's bytes. Raises what the encoder raises, ValueError and OverflowError."""
    row = write.row
    document = _encoder.encode(row.document)
    if len(document) > MAX_ROW_BYTES:
        raise OverflowError(f"the row has {len(document)} bytes, and may have {MAX_ROW_BYTES}")
    if not (row.version or (is_keepable(row.id) and is_keepable(row.customer_id))):
        raise ValueError("its id or its customer's is no such text as can be kept")
    for _, key, rank in write.entries:
        if not is_keepable(key) or not -_MAX_RANK <= rank < _MAX_RANK:
            raise ValueError(f"it cannot stand in an index under {key!r} at {rank}")
    return replace(write, document=document)
