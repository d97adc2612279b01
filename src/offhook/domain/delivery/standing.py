"""How a destination stands, in one word: what its row, its health and its counters come to.

The only place that decides it: the API, the command line and whatever else tells people of a destination ask here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from offhook.domain.delivery.counts import DAY_US
from offhook.domain.delivery.delivery import OFF, Destination
from offhook.domain.delivery.health import Failure, Health


class State(StrEnum):
    """Nothing is sent (`not_set`, `held`), nothing was to be sent, or the last attempt was taken, or failed.

    One that is `probing` has failed so often that it gets one event at a time.
    """

    NOT_SET = "not_set"
    IDLE = "idle"
    ANSWERING = "answering"
    FAILING = "failing"
    PROBING = "probing"
    HELD = "held"


class Standing(msgspec.Struct, frozen=True):
    """A state, and since when. Points in time are microseconds since 1970, None where they are not known.

    `reason` is why it is held, or the outcome of the last attempt while that failed; of this, `failure` says more.
    `next_probe_us` is None if a probe may be sent at once.
    """

    state: State
    since_us: int | None
    reason: str = ""
    failure: Failure | None = None
    next_probe_us: int | None = None


def standing_of(destination: Destination, health: Health | None, last_created_us: int | None, now_us: int) -> Standing:
    """How it stands at `now_us`.

    `health` is what whoever delivers knows; None: no more than the destination's row. `last_created_us` is when its
    newest delivery was created. It is failing from the first failed attempt on that no success followed.
    """
    if not destination.uri or destination.held_reason == OFF:
        return Standing(State.NOT_SET, destination.changed_us)
    if destination.held_reason:
        return Standing(State.HELD, destination.changed_us, destination.held_reason)
    if health is None:
        health = Health(failing_since_us=destination.failing_since_us, failure=destination.failure)
    if health.failing_since_us is not None:
        return _failing(health, health.failing_since_us, now_us)
    if last_created_us is None or now_us - last_created_us > DAY_US:
        return Standing(State.IDLE, last_created_us or destination.changed_us)
    return Standing(State.ANSWERING, destination.answering_since_us or destination.changed_us)


def _failing(health: Health, since_us: int, now_us: int) -> Standing:
    reason = health.failure.outcome if health.failure else ""
    if not health.is_probing:
        return Standing(State.FAILING, since_us, reason, health.failure)
    next_us = health.next_probe_us if health.next_probe_us > now_us else None
    return Standing(State.PROBING, since_us, reason, health.failure, next_us)
