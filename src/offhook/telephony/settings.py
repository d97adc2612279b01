"""What an operator may change about calls."""

from __future__ import annotations

from datetime import timedelta

import msgspec


class CallSettings(msgspec.Struct, frozen=True):
    """`lost_after` is how long the switch may be out of reach before its calls are over; `max_live_calls` beyond which
    callers are refused; `max_call_time` after which a call is ended; `stop_time` is what a graceful stop gives calls to
    end."""

    lost_after: timedelta = timedelta(seconds=30)
    stop_time: timedelta = timedelta(seconds=3)
    max_live_calls: int = 1_000
    max_call_time: timedelta = timedelta(hours=1)
