"""What `/readyz` asks: whether the node can do its work, and how its phone system is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Readiness(Protocol):
    """The node, as far as health checks look into it."""

    def missing(self) -> Sequence[str]:
        """What is not there yet, or not there any more, in the words of a person; empty once the node is ready."""
        ...

    def switch(self) -> str:
        """`up`, `down`, or `off` where there is none."""
        ...
