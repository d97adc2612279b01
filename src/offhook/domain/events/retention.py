"""How long things are kept: events by their family, subjects and uris as long as something may still name them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from offhook.domain.catalogue.family import family_of

_MICROSECOND = timedelta(microseconds=1)

SUBJECT_OUTLIVES = timedelta(days=30)
"""How long a subject outlives its last event: its sequence does not start again in the middle of something that has an
event now and then."""

LONGEST_ATTEMPT = timedelta(hours=1)
"""An attempt that began before its destination was pointed elsewhere has ended by then."""


class Cutoffs(msgspec.Struct, frozen=True):
    """Events created before this moment are forgotten; a family (`call`, `message` …) may have one of its own."""

    default_us: int
    by_family_us: Mapping[str, int]

    def of(self, event_type: str) -> int:
        """The moment for an event of this type."""
        return self.by_family_us.get(family_of(event_type), self.default_us)


class Rule(msgspec.Struct, frozen=True):
    """Which events one walk forgets: those of `family` (or, if that is "", of all but `others`) before `cutoff_us`."""

    family: str
    others: tuple[str, ...]
    cutoff_us: int

    @property
    def name(self) -> str:
        """Another name where the rule means other events: its walk begins anew."""
        return self.family or " ".join(("all but", *self.others))

    def is_about(self, event_type: str) -> bool:
        """Whether it means events of this type."""
        family = family_of(event_type)
        return family == self.family if self.family else family not in self.others


def cutoffs_at(now_us: int, keep: timedelta, by_family: Mapping[str, timedelta]) -> Cutoffs:
    """What to forget at a moment, if events are kept for `keep`, and those of some families for a time of their own."""
    return Cutoffs(
        now_us - keep // _MICROSECOND, {family: now_us - own // _MICROSECOND for family, own in by_family.items()}
    )


def rules_of(cutoffs: Cutoffs) -> list[Rule]:
    """The walks that these moments ask for."""
    families = tuple(sorted(cutoffs.by_family_us))
    return [
        Rule("", families, cutoffs.default_us),
        *(Rule(family, (), cutoffs.by_family_us[family]) for family in families),
    ]
