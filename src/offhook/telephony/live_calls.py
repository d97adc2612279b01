"""The calls that a switch has, or had a moment ago, as they were committed last."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from offhook.domain.telephony.call import CALL, is_final
from offhook.domain.telephony.call_state import CallState
from offhook.store.commit.port import Row


class LiveCalls:
    """Kept by whoever hears the commits. A call that is over counts no more, but its channels are known until nothing
    of it is pending: until then one that is still there is no new caller."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._channels: dict[str, str] = {}
        self._uncommitted: dict[str, str] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def rows(self) -> Mapping[str, Row]:
        """The calls that are not over, by id."""
        return self._rows

    def ids(self) -> list[str]:
        """Those that are not over, and those that are about to be committed."""
        return [*self._rows, *self._uncommitted]

    @property
    def count(self) -> int:
        """How many calls there are, or are about to be committed."""
        return len(self._rows) + len(self._uncommitted)

    @property
    def channels(self) -> Collection[str]:
        """Every channel that is known."""
        return self._channels.keys()

    @property
    def uncommitted_channels(self) -> Collection[str]:
        """The callers' channels of calls that are about to be committed."""
        return self._uncommitted.values()

    def call_of(self, channel_id: str) -> str | None:
        """The id of the call whose channel it is."""
        return self._channels.get(channel_id)

    def add_uncommitted(self, channel_id: str, call_id: str) -> None:
        """A call of this channel is about to be committed: what is said of the channel is said to it."""
        self._channels[channel_id] = call_id
        self._uncommitted[call_id] = channel_id
        self._is_empty.clear()

    def drop_uncommitted(self, call_id: str) -> bool:
        """Whether the call was expected, and never committed. It is not expected any more."""
        channel_id = self._uncommitted.pop(call_id, None)
        if channel_id is not None:
            del self._channels[channel_id]
            self._update_is_empty()
        return channel_id is not None

    def take_row(self, row: Row, *, is_open: bool) -> None:
        """A row was committed, or read."""
        if row.kind != CALL.kind:
            return
        state: CallState = row.document.state
        self._uncommitted.pop(row.id, None)
        known = self._rows.pop(row.id, None)
        for channel_id in (*(known.document.state.channels if known else ()), *state.channels):
            if self._channels.get(channel_id, row.id) == row.id:
                self._channels.pop(channel_id, None)
        if is_open:
            self._channels.update(dict.fromkeys(state.channels, row.id))
        if not is_final(state):
            self._rows[row.id] = row
        self._update_is_empty()

    def replace(self, rows: Collection[Row], touched: Collection[str]) -> None:
        """These are all open rows, but for calls that were `touched` since they were read: those are known better."""
        rest = {call_id: row for call_id, row in self._rows.items() if call_id in touched}
        channels = {channel_id: call_id for channel_id, call_id in self._channels.items() if call_id in touched}
        expected = {channel_id: call_id for call_id, channel_id in self._uncommitted.items()}
        self._rows, self._channels = rest, channels | expected
        for row in rows:
            if row.id not in touched:
                self.take_row(row, is_open=True)
        self._update_is_empty()

    async def wait_until_empty(self) -> None:
        """Return once there is no call that is not over."""
        await self._is_empty.wait()

    def _update_is_empty(self) -> None:
        if self.count:
            self._is_empty.clear()
        else:
            self._is_empty.set()
