"""How a webhook's numbers are shown on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from offhook.cli.showing.terminal import local_time, show_block
from offhook.domain.delivery.health import Failure
from offhook.domain.delivery.outcome_words import words_of
from offhook.domain.delivery.standing import State
from offhook.domain.delivery.standing_words import said_span, words_of_standing


def show_stats(stats: Mapping[str, Any], now: datetime) -> None:
    """How a webhook stands, in a sentence, and its numbers: what waits, what was delivered, what failed."""
    since, reason = stats["since"], stats["reason"]
    span_s = None if since is None else (now - datetime.fromisoformat(since)).total_seconds()
    failure = Failure(reason, stats["last_status_code"], stats["last_detail"]) if reason else None
    words = words_of_standing(State(stats["state"]), span_s, reason, failure)
    attempt_count = stats["succeeded"] + stats["failed_attempts"]
    probe = stats["next_probe"]
    oldest_s = stats["oldest_undelivered_age_s"]
    lines = [
        f"→ {words.advice}" if words.advice else "",
        f"Next try: {local_time(probe)}" if probe else "",
        f"Waiting: {stats['pending']}, held: {stats['held']}"
        + ("" if oldest_s is None else f", the oldest for {said_span(oldest_s)}"),
        f"Since {local_time(stats['tm_from'])}: {stats['events']} events, {stats['succeeded']} delivered "
        f"({stats['delivered_first_try']} at the first try), {stats['exhausted']} given up, "
        f"{stats['failed_attempts']} of {attempt_count} attempts failed",
        _latencies("Latency", stats["latency_p50_ms"], stats["latency_p99_ms"]),
        _latencies("At the first try", stats["first_try_latency_p50_ms"], stats["first_try_latency_p99_ms"]),
        *(_failure(row) for row in stats["failures"]),
    ]
    show_block(words.sentence, lines, indent=2)


def _latencies(of: str, p50_ms: float | None, p99_ms: float | None) -> str:
    return "" if p50_ms is None or p99_ms is None else f"{of}: p50 {_took(p50_ms)}, p99 {_took(p99_ms)}"


def _took(milliseconds: float) -> str:
    """To two digits: more are not known."""
    if milliseconds < 1_000:
        return f"{float(f'{milliseconds:.2g}'):g} ms"
    seconds = milliseconds / 1_000
    return f"{float(f'{seconds:.2g}'):g} s" if seconds < 120 else said_span(seconds)


def _failure(row: Mapping[str, Any]) -> str:
    words = words_of(row["outcome"], row["status_code"], "")
    return f"{row['count']} × {row['outcome']}, last {local_time(row['tm_last'])}: {words.sentence}"
