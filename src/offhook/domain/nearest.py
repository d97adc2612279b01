"""What to say of a name that is not known: the known one that it resembles most."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from offhook.domain.errors import InvalidError

_LONGEST = 64


def unknown_name(kind: str, name: str, known: Iterable[str], *, reason: str | None = None) -> InvalidError:
    """The refusal of a `kind` of input ("field") that does not exist, with the nearest of those that do."""
    shown = name[:_LONGEST]
    near = difflib.get_close_matches(shown, known, n=1, cutoff=0.0)
    advice = f"The nearest one is {near[0]}." if near else "None is taken here."
    return InvalidError(f"There is no {kind} {shown}. {advice}", reason=reason, field=shown)
