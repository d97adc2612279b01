"""How often what is left to chance is done: a little in `make test`, a lot in `make test-all`, which sets
OFFHOOK_TEST_ROUNDS. And the chance itself (the fixture `chance`), which OFFHOOK_TEST_SEED repeats."""

from __future__ import annotations

import os
import secrets

SEED = os.environ.get("OFFHOOK_TEST_SEED") or secrets.token_hex(4)
"""Another one in every run, unless it is given. A test that fails prints it."""

_GIVEN = int(os.environ.get("OFFHOOK_TEST_ROUNDS", "0"))

ROUNDS = _GIVEN or 6
"""Of a server that is killed, and the like."""

IS_LONG = _GIVEN > 2

STORMS = range(51 if IS_LONG else 2)
"""The seeds of a storm."""

EXAMPLES = 100 if IS_LONG else 12
"""Requests to each operation of the API."""


def examples(count: int) -> int:
    """Of what Hypothesis makes up, another lot in every run: as many as that, a fifth of them in `make test`."""
    return count if IS_LONG else count // 5
