"""What to say of a name that is not known: the known one that it resembles most."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from offhook.domain.errors import InvalidError

_LONGEST = 64
_ALIKE = 0.5
_FEW = 12


def unknown_name(kind: str, name: str, known: Iterable[str], *, reason: str | None = None) -> InvalidError:
    """The refusal of a `kind` of input ("field") that does not exist, with the nearest of those that do."""
    shown = name[:_LONGEST]
    names = sorted(known)
    near = difflib.get_close_matches(shown, names, n=1, cutoff=_ALIKE)
    if near:
        advice = f"The nearest one is {near[0]}."
    elif not names:
        advice = "None is taken here."
    elif len(names) <= _FEW:
        advice = f"There is {_listed(names)}."
    else:
        advice = "None is like it."
    return InvalidError(f"There is no {kind} {shown}. {advice}", reason=reason, field=shown)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
