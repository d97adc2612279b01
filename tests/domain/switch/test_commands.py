"""Every kind of command says what may be done about it when its end is not known, and survives being kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from offhook.domain.step import Command, Pending, Policy
from offhook.domain.switch.commands import SwitchCommand, ToSwitch
from offhook.store.commit.port import Document

KINDS: tuple[type[SwitchCommand], ...] = get_args(SwitchCommand)
SAMPLES: dict[str, Any] = {
    "direction": "in",
    "duration_ms": 250,
    "endpoint": "echo",
    "interval_ms": 100,
    "media": ("sound:hello-world",),
    "spy": "in",
    "thing": "channel",
}


def sample(kind: type[SwitchCommand]) -> SwitchCommand:
    required = (field.name for field in msgspec.structs.fields(kind) if field.required)
    return kind(**{name: SAMPLES.get(name, f"{name}-1") for name in required})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_declares_its_policy_by_itself(kind: type[SwitchCommand]) -> None:
    assert isinstance(vars(kind)["policy"], Policy)


def test_every_command_is_in_the_union() -> None:
    assert set(ToSwitch.__subclasses__()) == set(KINDS)


def test_what_hurts_when_done_twice_is_marked_and_what_cannot_be_repeated_is_looked_for() -> None:
    by_policy = {policy: {kind.__name__ for kind in KINDS if kind.policy is policy} for policy in Policy}
    assert by_policy[Policy.MARK] == {"Dial", "Play", "SendDigits"}
    assert by_policy[Policy.LOOK] == {"Snoop"}


def test_only_a_hang_up_supersedes_and_is_tried_for_ever() -> None:
    assert [kind.__name__ for kind in KINDS if kind.supersedes] == ["HangUp"]
    assert [kind.__name__ for kind in KINDS if kind.patience is None] == ["HangUp"]
    assert {kind.__name__ for kind in KINDS if kind.tidies} == {"DestroyBridge", "StopRecording"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_names_its_switch_and_keeps_a_channels_order(kind: type[SwitchCommand]) -> None:
    command = sample(kind)
    assert command.lane == "switch-1/channel_id-1"
    assert {"id", "switch", "channel_id"} <= set(get_type_hints(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_is_read_as_it_was_kept(kind: type[SwitchCommand]) -> None:
    command: Command = sample(kind)
    kept: Document[dict[str, str], Any] = Document(
        state={}, pending=(Pending(7, command, begun=True),), last_at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Document[dict[str, str], SwitchCommand])
    assert decoder.decode(msgspec.json.encode(kept)) == kept
