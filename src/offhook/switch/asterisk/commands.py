"""Carries out what the rules command (`domain.switch_commands`): one request to ARI, and what its answer means.

Theory of operation. Nothing is remembered here of any call: whether a thing is there already, Asterisk is asked. What
may be repeated is sent, and an answer that says "there already" means done. Where a second request would do harm or
says nothing (a member is put into its bridge anew, a snoop is a 500), it is looked for first. What must not be done
twice (`Policy.MARK`) is sent once: if its answer is lost its effect is looked for, and what cannot be found is
`Unknown`. It is `Unavailable`, which may be tried again, only if it was certainly not done.

What Asterisk answers to a request given once, twice and too late was measured on 22.10.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, assert_never

import structlog

from offhook.domain.step import Absent, Done, Outcome, Policy, Refused, Thing, Unavailable, Unknown
from offhook.domain.switch.commands import (
    ECHO,
    AddToBridge,
    Answer,
    Create,
    CreateBridge,
    DestroyBridge,
    Dial,
    Find,
    Follow,
    HangUp,
    Hold,
    Mute,
    Play,
    Record,
    RemoveFromBridge,
    Ring,
    SendDigits,
    Snoop,
    StartMusic,
    StartSilence,
    StopMusic,
    StopPlayback,
    StopRecording,
    StopSilence,
    SwitchCommand,
    Unhold,
    Unmute,
)
from offhook.switch.asterisk.answers import outcome_of, refused
from offhook.switch.asterisk.ari import APPLICATION, AriAnswer, AriClient, AriUnreachableError, SwitchUnavailableError
from offhook.switch.asterisk.inputs import ECHOING, OUTGOING, SNOOPING, is_in_application

log = structlog.get_logger()

_ECHO_DIALPLAN = "Local/s@offhook-echo/n"
# The rules end what rings for too long; this is for a phone that is dialled when none of us is left to do so.
_LONGEST_RINGING_S = 60
_PLACES: Mapping[Thing, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "channel": (("channels",),),
        "snoop": (("channels",),),
        "bridge": (("bridges",),),
        "playback": (("playbacks",),),
        "recording": (("recordings", "live"), ("recordings", "stored")),
    }
)


_SWITCHES: Mapping[type, tuple[str, str]] = MappingProxyType(
    {
        Hold: ("POST", "hold"),
        Unhold: ("DELETE", "hold"),
        StartMusic: ("POST", "moh"),
        StopMusic: ("DELETE", "moh"),
        StartSilence: ("POST", "silence"),
        StopSilence: ("DELETE", "silence"),
        Mute: ("POST", "mute"),
        Unmute: ("DELETE", "mute"),
    }
)
"""What turns something of a channel's on or off. Asterisk does it when the playback that is under way has ended."""


class AriCommands:
    """Commands for one Asterisk. `ari` is opened and closed by whoever made it; nothing takes more than seconds."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def carry_out(self, command: SwitchCommand) -> Outcome:
        """Do it, or find that it is done."""
        try:
            outcome = await self._carry_out(command)
        except SwitchUnavailableError as error:
            # Where a second time would do harm, an answer that was lost has been looked for.
            return _unavailable(command, error, is_undone=command.policy is Policy.MARK)
        if isinstance(outcome, Refused):
            log.info("asterisk.refused", command=type(command).__name__, reason=outcome.reason)
        return outcome

    async def look(self, command: SwitchCommand) -> Outcome:
        """Whether a command that may have been sent was carried out. Changes nothing.

        Unknown if that cannot be seen, as with everything that is simply repeated.
        """
        try:
            return await self._look(command)
        except SwitchUnavailableError as error:
            return _unavailable(command, error)

    async def _carry_out(self, command: SwitchCommand) -> Outcome:  # noqa: C901
        match command:
            case Follow():
                return await self._follow(command.channel_id)
            case Ring():
                return await self._do("channel", "POST", "channels", command.channel_id, "ring")
            case Answer():
                return await self._do("channel", "POST", "channels", command.channel_id, "answer")
            case HangUp():
                return await self._hang_up(command)
            case Create():
                return await self._create(command)
            case Dial():
                return await self._dial(command)
            case Play():
                return await self._play(command)
            case StopPlayback():
                return await self._do("playback", "DELETE", "playbacks", command.playback_id)
            case SendDigits():
                return await self._send_digits(command)
            case Mute() | Unmute():
                return await self._turn(command, direction=command.direction)
            case Hold() | Unhold() | StartMusic() | StopMusic() | StartSilence() | StopSilence():
                return await self._turn(command)
            case CreateBridge():
                return await self._create_bridge(command.bridge_id)
            case AddToBridge():
                return await self._add_to_bridge(command.bridge_id, command.member_id)
            case RemoveFromBridge():
                return await self._remove_from_bridge(command.bridge_id, command.member_id)
            case DestroyBridge():
                return _of_bridge(await self._ari.ask("DELETE", "bridges", command.bridge_id))
            case Snoop():
                return await self._snoop(command)
            case Record():
                return await self._record(command)
            case StopRecording():
                return await self._stop_recording(command.recording_id)
            case Find():
                return await self._find(command.thing, command.thing_id)
            case _:
                assert_never(command)

    async def _look(self, command: SwitchCommand) -> Outcome:
        match command:
            case Dial():
                return await self._look_at_dialled(command.channel_id)
            case Play():
                return _found(await self._find("playback", command.playback_id))
            case SendDigits():
                found = await self._find("channel", command.channel_id)
                return Unknown() if found == Done() else found
            case Snoop():
                return _found(await self._find("snoop", command.snoop_id))
            case Create():
                return _found(await self._find("channel", command.channel_id))
            case CreateBridge():
                return _found(await self._find("bridge", command.bridge_id))
            case Record():
                return _found(await self._find("recording", command.recording_id))
            case Find():
                return await self._find(command.thing, command.thing_id)
            case Follow() | Ring() | Answer() | HangUp() | StopPlayback() | StopRecording():
                return Unknown()
            case AddToBridge() | RemoveFromBridge() | DestroyBridge() | Mute() | Unmute():
                return Unknown()
            case Hold() | Unhold() | StartMusic() | StopMusic() | StartSilence() | StopSilence():
                return Unknown()
            case _:
                assert_never(command)

    async def _do(self, thing: Thing, method: str, *path: str) -> Outcome:
        return outcome_of(await self._ari.ask(method, *path), thing)

    async def _turn(self, command: SwitchCommand, **query: str) -> Outcome:
        method, what = _SWITCHES[type(command)]
        return outcome_of(await self._ari.ask(method, "channels", command.channel_id, what, query=query), "channel")

    async def _find(self, thing: Thing, thing_id: str) -> Outcome:
        for place in _PLACES[thing]:
            outcome = await self._do(thing, "GET", *place, thing_id)
            if not isinstance(outcome, Absent):
                return outcome
        return Absent(thing)

    async def _follow(self, channel_id: str) -> Outcome:
        # In a body, here and below: out of a query Asterisk would make several at its commas.
        source = {"eventSource": [f"channel:{channel_id}"]}
        answer = await self._ari.ask("POST", "applications", APPLICATION, "subscription", body=source)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and await self._find("channel", channel_id) != Done():
            return Absent("channel")
        return outcome_of(answer, "channel")

    async def _hang_up(self, command: HangUp) -> Outcome:
        cause = {"reason_code": str(int(command.cause))}
        return outcome_of(await self._ari.ask("DELETE", "channels", command.channel_id, query=cause), "channel")

    async def _create(self, command: Create) -> Outcome:
        """Find the channel, or make it.

        A second channel of one id is a 409. It is looked for first all the same: that 409 leaves an Asterisk behind
        that does not end by itself any more, and makes the same connection answer 409 to every failed allocation from
        then on (a stale errno), instead of 500. So a 409 for a channel that is not there means either of two: it could
        not be made, or somebody made it in this very moment and it is gone. Either way there is none, and to ask again
        could only make another one: Refused.
        """
        found = await self._find("channel", command.channel_id)
        if not isinstance(found, Absent):
            return found
        is_echo = command.endpoint == ECHO
        body = {
            "endpoint": _ECHO_DIALPLAN if is_echo else command.endpoint,
            "app": APPLICATION,
            "appArgs": ECHOING if is_echo else OUTGOING,
            "channelId": command.channel_id,
        }
        # Without its originator's formats the channel of an echo would be at 192 kHz.
        originator = {"originator": command.originator} if command.originator else {}
        answer = await self._ari.ask("POST", "channels", "create", body=body | originator)
        if answer.status != HTTPStatus.CONFLICT:
            return _definite(answer, "channel")
        found = await self._find("channel", command.channel_id)
        return Refused("The channel could not be made, or is gone.") if isinstance(found, Absent) else found

    async def _dial(self, command: Dial) -> Outcome:
        """Dial it unless it was; a channel that was dialled and does not ring yet looks like one that was not."""
        channel = await self._ari.ask("GET", "channels", command.channel_id)
        if not channel.is_ok or not _is_down(channel):
            return outcome_of(channel, "channel")
        if not is_in_application(channel.content):
            return Refused("Channel not in Stasis application")
        ringing = {"timeout": _LONGEST_RINGING_S}
        outcome = await self._once(command, "channels", command.channel_id, "dial", body=ringing)
        if isinstance(outcome, Refused):
            # Not down any more when it was dialled?
            looked = await self._look_at_dialled(command.channel_id)
            return outcome if looked == Unknown() else looked
        return outcome

    async def _look_at_dialled(self, channel_id: str) -> Outcome:
        channel = await self._ari.ask("GET", "channels", channel_id)
        return Unknown() if channel.is_ok and _is_down(channel) else outcome_of(channel, "channel")

    async def _play(self, command: Play) -> Outcome:
        path = ("channels", command.channel_id, "play", command.playback_id)
        return await self._once(command, *path, body={"media": list(command.media)})

    async def _send_digits(self, command: SendDigits) -> Outcome:
        # Without any pause Asterisk makes one of 100 ms. In a body: digits belong into no URL that somebody may log.
        how = {"duration": command.duration_ms, "between": max(command.interval_ms, 1)}
        path = ("channels", command.channel_id, "dtmf")
        return await self._once(command, *path, body={"dtmf": command.digits, **how})

    async def _once(self, command: Dial | Play | SendDigits, *path: str, body: Mapping[str, Any]) -> Outcome:
        try:
            answer = await self._ari.ask("POST", *path, body=body)
        except AriUnreachableError:
            raise
        except SwitchUnavailableError as error:
            return await self._look_for(command, error.message)
        if answer.status > HTTPStatus.INTERNAL_SERVER_ERROR:
            # Not Asterisk's own: of whoever stands between.
            return await self._look_for(command, str(answer.status))
        return _definite(answer, "channel")

    async def _look_for(self, command: Dial | Play | SendDigits, error: str) -> Outcome:
        """It was sent, and nothing is known of it."""
        log.warning("asterisk.answer_lost", command=type(command).__name__, error=error)
        looked = await self.look(command)
        return Unknown() if isinstance(looked, Unavailable) else looked

    async def _create_bridge(self, bridge_id: str) -> Outcome:
        body = {"type": "mixing", "name": "offhook"}
        answer = await self._ari.ask("POST", "bridges", bridge_id, body=body)
        return Done() if answer.status == HTTPStatus.CONFLICT else outcome_of(answer, "bridge")

    async def _add_to_bridge(self, bridge_id: str, member_id: str) -> Outcome:
        bridge = await self._ari.ask("GET", "bridges", bridge_id)
        if not bridge.is_ok or member_id in bridge.content["channels"]:
            return outcome_of(bridge, "bridge")
        member = {"channel": [member_id]}
        return _of_member(await self._ari.ask("POST", "bridges", bridge_id, "addChannel", body=member))

    async def _remove_from_bridge(self, bridge_id: str, member_id: str) -> Outcome:
        member = {"channel": [member_id]}
        answer = await self._ari.ask("POST", "bridges", bridge_id, "removeChannel", body=member)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            bridge = await self._ari.ask("GET", "bridges", bridge_id)
            if not bridge.is_ok or member_id not in bridge.content["channels"]:
                return outcome_of(bridge, "bridge")
        return _of_member(answer)

    async def _snoop(self, command: Snoop) -> Outcome:
        found = await self._find("snoop", command.snoop_id)
        if not isinstance(found, Absent):
            return found
        path = ("channels", command.channel_id, "snoop", command.snoop_id)
        body = {"spy": command.spy, "app": APPLICATION, "appArgs": SNOOPING}
        return outcome_of(await self._ari.ask("POST", *path, body=body), "channel")

    async def _record(self, command: Record) -> Outcome:
        body = {"name": command.recording_id, "format": "wav", "ifExists": "fail"}
        answer = await self._ari.ask("POST", "channels", command.channel_id, "record", body=body)
        if answer.status == HTTPStatus.CONFLICT and await self._find("recording", command.recording_id) == Done():
            return Done()
        return outcome_of(answer, "channel")

    async def _stop_recording(self, recording_id: str) -> Outcome:
        """Stop it, or find that it has ended. One whose turn has not come cannot be stopped: Asterisk only says so."""
        live = await self._ari.ask("GET", "recordings", "live", recording_id)
        if live.is_ok and live.content["state"] in ("queued", "canceled"):
            raise SwitchUnavailableError("The recording has not begun.")
        answer = await self._ari.ask("POST", "recordings", "live", recording_id, "stop")
        if answer.status == HTTPStatus.CONFLICT:
            return Done()
        outcome = outcome_of(answer, "recording")
        return await self._find("recording", recording_id) if isinstance(outcome, Absent) else outcome


def _definite(answer: AriAnswer, thing: Thing) -> Outcome:
    """Of a request whose failure (500) is about what was asked for, and no passing fault of Asterisk's."""
    is_failed = answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    return refused(answer) if is_failed else outcome_of(answer, thing)


def _of_bridge(answer: AriAnswer) -> Outcome:
    """Of a request about a bridge. One that is just ending is not unknown yet, but nobody's."""
    is_ending = answer.status == HTTPStatus.CONFLICT and answer.reason == "Bridge not in Stasis application"
    return Absent("bridge") if is_ending else outcome_of(answer, "bridge")


def _of_member(answer: AriAnswer) -> Outcome:
    """Of a request about a channel and a bridge: a channel that is not there is a 400."""
    is_absent = answer.status == HTTPStatus.BAD_REQUEST and answer.reason == "Channel not found"
    return Absent("channel") if is_absent else _of_bridge(answer)


def _found(outcome: Outcome) -> Outcome:
    """What is not there any more may have been there."""
    return Unknown() if isinstance(outcome, Absent) else outcome


def _is_down(channel: AriAnswer) -> bool:
    return channel.content["state"] in ("Down", "Rsrvd")


def _unavailable(command: SwitchCommand, error: SwitchUnavailableError, *, is_undone: bool = False) -> Unavailable:
    log.warning("asterisk.unavailable", command=type(command).__name__, error=error.message)
    return Unavailable(is_undone)
