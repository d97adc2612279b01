"""How Python's collector is set in a node."""

from __future__ import annotations

import gc


def exempt_what_is_there() -> None:
    """What is there by now stays for good: no collection looks at it again, and full ones are rare.

    Full collections held the event loop for 80 ms with 8,000 live rows. Freezing alone does not help.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
