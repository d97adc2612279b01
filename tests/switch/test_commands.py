"""Every command on a real Asterisk: given once, twice under one id, too late, and to one that is not there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from aiohttp import web

from offhook.domain.ids import new_uuid
from offhook.domain.step import Absent, Command, Done, Policy, Refused, Thing, Unavailable, Unknown
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
    HangUpCause,
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
from offhook.domain.switch.inputs import (
    ChannelAnswered,
    ChannelEntered,
    ChannelGone,
    ChannelRinging,
    PlaybackFinished,
)
from offhook.switch.asterisk.answers import outcome_of
from offhook.switch.asterisk.ari import APPLICATION, AriAnswer, AriClient, AriEndpoint, SwitchUnavailableError
from offhook.switch.asterisk.commands import AriCommands
from offhook.switch.asterisk.inputs import callers_in, created_in
from tests.domain.switch.test_commands import KINDS, sample
from tests.ports import free_port
from tests.sipp.ear import listening
from tests.sipp.phone import called_phone
from tests.sipp.stage import SWITCH, Stage, command, staged
from tests.sipp.switches import SharedAsterisk, eventually

HELLO = ("sound:hello-world",)
DONE_TWICE = [Done(), Done()]
# A channel takes a moment to end.
ENDED_TWICE = ([Done(), Absent("channel")], DONE_TWICE)


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedAsterisk]:
    shared = SharedAsterisk(tmp_path_factory.mktemp("commanded") / "asterisk")
    yield shared
    shared.stop()


@pytest.fixture
async def stage(asterisk: SharedAsterisk) -> AsyncIterator[Stage]:
    async with staged(asterisk) as one:
        yield one


async def test_a_caller_is_followed_rung_answered_and_hung_up_each_twice(stage: Stage, tmp_path: Path) -> None:
    async with stage.caller(tmp_path) as (channel, caller):
        assert await stage.twice(Follow, channel) == DONE_TWICE
        assert await stage.twice(Ring, channel) == DONE_TWICE
        assert await stage.twice(Answer, channel) == DONE_TWICE
        await stage.hears(ChannelAnswered(SWITCH, channel))
        assert await stage.twice(Find, channel, thing="channel", thing_id=channel) == DONE_TWICE
        assert await stage.twice(HangUp, channel) in ENDED_TWICE
        await caller.done()
        await stage.hears(ChannelGone(SWITCH, channel, 16))
        assert await stage.do(HangUp, channel) == Absent("channel")
        assert stage.inputs.count(ChannelAnswered(SWITCH, channel)) == 1
        assert await stage.do(Find, channel, thing="channel", thing_id=channel) == Absent("channel")


async def test_a_caller_is_refused_as_busy(stage: Stage, tmp_path: Path) -> None:
    async with stage.caller(tmp_path, "refused_486") as (channel, caller):
        assert await stage.do(HangUp, channel, cause=HangUpCause.BUSY) == Done()
        await caller.done()


async def test_a_prompt_is_played_once_and_is_found_while_it_plays(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as channel:
        prompt = {"playback_id": new_uuid(), "media": HELLO}
        assert await stage.do(Play, channel, **prompt) == Done()
        assert await stage.look(Play, channel, **prompt) == Done()
        assert await stage.do(Find, channel, thing="playback", thing_id=prompt["playback_id"]) == Done()
        await stage.hears(PlaybackFinished(SWITCH, channel, str(prompt["playback_id"])))
        assert await stage.look(Play, channel, **prompt) == Unknown()
        assert await stage.do(Find, channel, thing="playback", thing_id=prompt["playback_id"]) == Absent("playback")
        assert await stage.do(StopPlayback, channel, playback_id=prompt["playback_id"]) == Absent("playback")
        await stage.beat(channel)
        assert stage.count("PlaybackStarted", str(prompt["playback_id"])) == 1


async def test_several_sounds_are_one_prompt_whatever_their_names(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as channel:
        playback = new_uuid()
        media = ("sound:hello-world", "sound:not,there", "sound:hello-world")
        assert await stage.do(Play, channel, playback_id=playback, media=media) == Done()
        await stage.hears(PlaybackFinished(SWITCH, channel, playback))
        await stage.beat(channel)
        assert stage.count("PlaybackContinuing", playback) == 2


async def test_a_sound_that_is_not_there_is_told_as_failed(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as channel:
        playback = new_uuid()
        assert await stage.do(Play, channel, playback_id=playback, media=("sound:not-there",)) == Done()
        await stage.hears(PlaybackFinished(SWITCH, channel, playback, has_failed=True))
        assert await stage.do(Play, channel, playback_id=new_uuid(), media=()) == Refused(
            "Failed to queue media for playback"
        )


async def test_a_prompt_is_cut_off(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as channel:
        playback = new_uuid()
        assert await stage.do(Play, channel, playback_id=playback, media=HELLO * 20) == Done()
        await stage.sees("PlaybackStarted", playback)
        assert await stage.do(StopPlayback, channel, playback_id=playback) == Done()
        await stage.hears(PlaybackFinished(SWITCH, channel, playback))
        assert await stage.do(StopPlayback, channel, playback_id=playback) == Absent("playback")


async def test_what_is_turned_on_or_off_may_be_twice_and_nothing_tells_it(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as channel:
        seen = len(stage.events)
        for kind in (Hold, Unhold, StartMusic, StopMusic, StartSilence, StopSilence):
            assert await stage.twice(kind, channel) == DONE_TWICE
        for direction in ("in", "out"):
            assert await stage.twice(Mute, channel, direction=direction) == DONE_TWICE
            assert await stage.twice(Unmute, channel, direction=direction) == DONE_TWICE
        await stage.beat(channel)
        assert {event["type"] for event in stage.events[seen:]} == {"ChannelUserevent"}


async def test_who_is_muted_and_on_hold_is_not_heard_by_the_other_side(stage: Stage, tmp_path: Path) -> None:
    async with (
        listening() as one,
        listening() as other,
        stage.answered(tmp_path / "one", rtp_port=one.port) as held,
        stage.answered(tmp_path / "other", rtp_port=other.port) as free,
    ):
        bridge = new_uuid()
        assert await stage.do(CreateBridge, held, bridge_id=bridge) == Done()
        for channel in (held, free):
            # So that each knows where to speak to.
            assert await stage.do(Play, channel, playback_id=new_uuid(), media=HELLO) == Done()
            assert await stage.do(AddToBridge, held, bridge_id=bridge, member_id=channel) == Done()
        await one.says_until_heard(other)
        assert await stage.do(Mute, held, direction="in") == await stage.do(Hold, held) == Done()
        said = await one.says_in_vain()
        assert await stage.do(Unhold, held) == await stage.do(Unmute, held, direction="in") == Done()
        await one.says_until_heard(other)
        assert said not in other.heard


async def test_before_the_answer_a_channel_is_muted_as_well(stage: Stage, tmp_path: Path) -> None:
    async with stage.caller(tmp_path, "refused_486") as (channel, _):
        assert await stage.twice(Mute, channel, direction="in") == DONE_TWICE
        await stage.do(HangUp, channel, cause=HangUpCause.BUSY)


async def test_digits_are_sent_once_in_order_and_cannot_be_looked_for(stage: Stage, tmp_path: Path) -> None:
    async with listening() as ear, stage.answered(tmp_path, rtp_port=ear.port) as channel:
        digits = {"digits": "159#*0D", "duration_ms": 100, "interval_ms": 0}
        assert await stage.do(SendDigits, channel, **digits) == Done()
        assert await stage.look(SendDigits, channel, **digits) == Unknown()
        await eventually(lambda: ear.digits == "159#*0D", "they are heard")


async def test_digits_whose_answer_was_lost_are_never_repeated(
    stage: Stage, asterisk: SharedAsterisk, tmp_path: Path
) -> None:
    async with (
        listening() as ear,
        stage.answered(tmp_path, rtp_port=ear.port) as channel,
        losing_posts(asterisk.endpoint, is_passed_on=True) as endpoint,
        AriClient(endpoint) as ari,
    ):
        digits = command(SendDigits, channel, digits="77", duration_ms=100, interval_ms=50)
        assert await AriCommands(ari).carry_out(digits) == Unknown()
        assert await stage.do(SendDigits, channel, digits="#", duration_ms=100, interval_ms=50) == Done()
        await eventually(lambda: ear.digits == "77#", "each is heard once")


async def test_a_channel_is_created_once(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        channel = new_uuid()
        assert await stage.look(Create, channel, endpoint=ECHO, originator=caller) == Unknown()
        assert await stage.twice(Create, channel, endpoint=ECHO, originator=caller) == DONE_TWICE
        await stage.hears(ChannelEntered(SWITCH, channel))
        assert await stage.do(Create, channel, endpoint=ECHO, originator=caller) == Done()
        assert await stage.look(Create, channel, endpoint=ECHO, originator=caller) == Done()
        assert await stage.do(Play, channel, playback_id=new_uuid(), media=HELLO) == Refused("Channel in invalid state")
        found = (await stage.ari.ask("GET", "channels")).content
        assert created_in(found, "offhook") == (channel,)
        assert [one.id for one in callers_in(found, "offhook", SWITCH)] == [caller]
        assert await stage.twice(HangUp, channel) in ENDED_TWICE
        assert stage.inputs.count(ChannelEntered(SWITCH, channel)) == 1


async def test_creates_of_one_channel_at_once_make_one(stage: Stage) -> None:
    for _ in range(20):
        channel = new_uuid()
        made = await asyncio.gather(*(stage.do(Create, channel, endpoint=ECHO) for _ in range(4)))
        assert made == [Done()] * 4
        await stage.hears(ChannelEntered(SWITCH, channel))
        assert await stage.do(HangUp, channel) == Done()
        await stage.sees("ChannelDestroyed", channel)
        assert stage.inputs.count(ChannelEntered(SWITCH, channel)) == 1


@pytest.mark.parametrize("endpoint", ["PJSIP/nobody", "Nonsense/1", "nonsense"])
async def test_a_channel_that_cannot_be_made_is_refused_also_after_a_true_conflict(stage: Stage, endpoint: str) -> None:
    words = "Invalid endpoint specified" if endpoint == "nonsense" else "Allocation failed"
    assert await stage.twice(Create, new_uuid(), endpoint=endpoint) == [Refused(words)] * 2
    there = await stage.create(Create, endpoint=ECHO)
    again = {"endpoint": "Local/s@offhook-echo/n", "app": APPLICATION, "channelId": there}
    assert (await stage.ari.ask("POST", "channels", "create", body=again)).status == 409
    # The same connection says now that whatever cannot be made is there.
    words = words if endpoint == "nonsense" else "The channel could not be made, or is gone."
    assert await stage.twice(Create, new_uuid(), endpoint=endpoint) == [Refused(words)] * 2
    assert [one for one in await stage.channels() if not one.startswith(there)] == []


async def test_a_caller_and_an_echo_are_bridged_and_enter_once(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        bridge, other = new_uuid(), new_uuid()
        channel = await stage.create(Create, endpoint=ECHO, originator=caller)
        assert await stage.twice(CreateBridge, caller, bridge_id=bridge) == DONE_TWICE
        assert await stage.do(Find, caller, thing="bridge", thing_id=bridge) == Done()
        for member in (caller, channel):
            assert await stage.twice(AddToBridge, caller, bridge_id=bridge, member_id=member) == DONE_TWICE
        for member in (caller, channel):
            assert await stage.twice(AddToBridge, caller, bridge_id=bridge, member_id=member) == DONE_TWICE
            await stage.beat(caller)
            assert stage.count("ChannelEnteredBridge", member) == 1
            assert stage.count("ChannelLeftBridge", member) == 0
        assert await stage.do(AddToBridge, caller, bridge_id=other, member_id=caller) == Absent("bridge")
        assert await stage.do(RemoveFromBridge, caller, bridge_id=other, member_id=caller) == Absent("bridge")
        assert await stage.twice(RemoveFromBridge, caller, bridge_id=bridge, member_id=caller) == DONE_TWICE
        await stage.beat(caller)
        assert stage.count("ChannelLeftBridge", caller) == 1
        assert await stage.twice(DestroyBridge, caller, bridge_id=bridge) == [Done(), Absent("bridge")]
        # Asterisk shows it for a moment more (measured, on a busy machine).
        await eventually(lambda: is_absent(stage, bridge), "it is gone")
        assert await stage.state_of(channel) == "Down"


async def test_who_cannot_be_put_into_a_bridge_is_left_where_it_is(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        bridge = new_uuid()
        channel = await stage.create(Create, endpoint=ECHO, originator=caller)
        assert await stage.do(CreateBridge, caller, bridge_id=bridge) == Done()
        for member in (new_uuid(), f"{caller},{channel}"):
            assert await stage.do(AddToBridge, caller, bridge_id=bridge, member_id=member) == Absent("channel")
            assert await stage.do(RemoveFromBridge, caller, bridge_id=bridge, member_id=member) == Absent("channel")
        # The other half of the echo's channel is nobody's.
        refused = await stage.do(AddToBridge, caller, bridge_id=bridge, member_id=f"{channel};2")
        assert refused == Refused("Channel not in Stasis application")
        assert await stage.do(Record, caller, recording_id=new_uuid()) == Done()
        refused = await stage.do(AddToBridge, caller, bridge_id=bridge, member_id=caller)
        assert refused == Refused(f"Channel {caller} currently recording")
        await stage.beat(caller)
        assert stage.count("ChannelEnteredBridge", caller) == stage.count("ChannelEnteredBridge", channel) == 0


async def test_an_echo_is_dialled_once(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        for _ in range(5):
            channel = await stage.create(Create, endpoint=ECHO, originator=caller)
            assert await stage.look(Dial, channel) == Unknown()
            assert await stage.do(Dial, channel) == Done()
            await stage.hears(ChannelAnswered(SWITCH, channel))
            assert await stage.look(Dial, channel) == Done()
            assert await stage.twice(Dial, channel) == DONE_TWICE
            assert await stage.state_of(channel) == "Up"
            assert await stage.do(HangUp, channel) == Done()
            await stage.hears(ChannelGone(SWITCH, channel, 16))
            assert await stage.do(Dial, channel) == Absent("channel")
            assert await stage.look(Dial, channel) == Absent("channel")


async def test_a_busy_phone_rings_once(stage: Stage, tmp_path: Path) -> None:
    async with called_phone("rings_and_is_busy", tmp_path, pause_ms=500) as (phone, address):
        channel = await stage.create(Create, endpoint=f"PJSIP/local/sip:me@{address}")
        assert await stage.look(Dial, channel) == Unknown()
        assert await stage.do(Dial, channel) == Done()
        await stage.hears(ChannelRinging(SWITCH, channel))
        assert await stage.look(Dial, channel) == Done()
        assert await stage.twice(Dial, channel) == DONE_TWICE
        await stage.hears(ChannelGone(SWITCH, channel, 17, 486))
        assert await stage.twice(Dial, channel) == [Absent("channel")] * 2
        assert await stage.look(Dial, channel) == Absent("channel")
        assert stage.inputs.count(ChannelRinging(SWITCH, channel)) == 1
        await phone.done()


async def test_only_a_channel_of_ours_can_be_dialled(stage: Stage, tmp_path: Path) -> None:
    channel = await stage.create(Create, endpoint=ECHO)
    assert await stage.do(Dial, f"{channel};2") == Done()  # it is the echo's, and rings
    async with stage.caller(tmp_path, "refused_486") as (caller, _):
        assert await stage.do(Dial, caller) == Done()
        assert await stage.state_of(caller) == "Ring"
        await stage.do(HangUp, caller, cause=HangUpCause.BUSY)


async def test_a_recording_is_made_once_and_kept(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        recording = new_uuid()
        assert await stage.do(Find, caller, thing="recording", thing_id=recording) == Absent("recording")
        assert await stage.look(Record, caller, recording_id=recording) == Unknown()
        assert await stage.twice(Record, caller, recording_id=recording) == DONE_TWICE
        await stage.sees("RecordingStarted", recording)
        assert await stage.look(Record, caller, recording_id=recording) == Done()
        assert await stage.twice(StopRecording, caller, recording_id=recording) == DONE_TWICE
        await stage.sees("RecordingFinished", recording)
        assert await stage.twice(StopRecording, caller, recording_id=recording) == DONE_TWICE
        assert await stage.do(Record, caller, recording_id=recording) == Done()
        assert await stage.do(Find, caller, thing="recording", thing_id=recording) == Done()
        await stage.beat(caller)
        assert stage.count("RecordingStarted", recording) == stage.count("RecordingFinished", recording) == 1
        assert await stage.do(StopRecording, caller, recording_id=new_uuid()) == Absent("recording")


async def test_a_recording_whose_turn_has_not_come_is_stopped_when_it_has(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        recording = new_uuid()
        assert await stage.do(Play, caller, playback_id=new_uuid(), media=HELLO) == Done()
        assert await stage.twice(Record, caller, recording_id=recording) == DONE_TWICE
        assert await stage.twice(StopRecording, caller, recording_id=recording) == [Unavailable()] * 2
        await stage.sees("RecordingStarted", recording)
        assert await stage.twice(StopRecording, caller, recording_id=recording) == DONE_TWICE
        await stage.sees("RecordingFinished", recording)


async def test_a_channel_is_snooped_on_once(stage: Stage, tmp_path: Path) -> None:
    async with stage.answered(tmp_path) as caller:
        snoop = new_uuid()
        assert await stage.look(Snoop, caller, snoop_id=snoop, spy="in") == Unknown()
        assert await stage.twice(Snoop, caller, snoop_id=snoop, spy="in") == DONE_TWICE
        await stage.hears(ChannelEntered(SWITCH, snoop))
        assert await stage.look(Snoop, caller, snoop_id=snoop, spy="in") == Done()
        assert await stage.do(Find, caller, thing="snoop", thing_id=snoop) == Done()
        assert sorted(await stage.channels()) == sorted([caller, snoop])
        assert await stage.twice(HangUp, snoop) in ENDED_TWICE


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (Create, CreateBridge)])
async def test_what_is_not_there_is_absent(stage: Stage, kind: type[SwitchCommand]) -> None:
    things: dict[type[SwitchCommand], Thing] = {
        StopPlayback: "playback",
        DestroyBridge: "bridge",
        AddToBridge: "bridge",
        RemoveFromBridge: "bridge",
        StopRecording: "recording",
    }
    assert await stage.commands.carry_out(sample(kind)) == Absent(things.get(kind, "channel"))


@pytest.mark.parametrize("thing", get_args(Thing))
async def test_every_thing_can_be_found_to_be_absent(stage: Stage, thing: Thing) -> None:
    assert await stage.do(Find, "", thing=thing, thing_id="nothing") == Absent(thing)
    assert await stage.look(Find, "", thing=thing, thing_id="nothing") == Absent(thing)


HOSTILE: list[Callable[[str], str]] = [
    lambda channel: f"../channels/{channel}",
    lambda channel: f"x/../{channel}",
    lambda channel: f"%2e%2e/channels/{channel}",
    lambda channel: f"{channel}/ring?x=",
    lambda channel: f"{channel}#",
    lambda channel: f"{channel}?",
    lambda channel: f"{channel};",
    lambda channel: f"{channel},{channel}",
    lambda channel: f"{channel} \r\nX: é",
    lambda _: "..",
    lambda _: ".",
]


@pytest.mark.parametrize("disguise", HOSTILE)
async def test_an_id_is_one_part_of_a_path_whatever_is_in_it(
    stage: Stage, tmp_path: Path, disguise: Callable[[str], str]
) -> None:
    async with stage.answered(tmp_path) as caller:
        name = disguise(caller)
        for kind in (Follow, Ring, Answer, HangUp, Dial):
            assert await stage.do(kind, name) == Absent("channel")
        assert await stage.do(Find, name, thing="channel", thing_id=name) == Absent("channel")
        assert await stage.do(Play, name, playback_id=name, media=HELLO) == Absent("channel")
        assert await stage.do(Snoop, name, snoop_id=name, spy="in") == Absent("channel")
        assert await stage.state_of(caller) == "Up"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_switch_that_is_not_there_is_unavailable(kind: type[SwitchCommand]) -> None:
    async with AriClient(AriEndpoint(f"http://127.0.0.1:{free_port()}/ari", "me", "word")) as ari:
        commands = AriCommands(ari)
        assert await commands.carry_out(sample(kind)) == undone(kind)
        looked = await commands.look(sample(kind))
        assert looked == Unavailable() if kind.policy is not Policy.AGAIN else looked in (Unavailable(), Unknown())
    assert await AriCommands(ari).carry_out(sample(kind)) == undone(kind)


@pytest.mark.parametrize("status", [401, 404, 502, 503])
@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_stands_before_the_switch_can_make_it_unavailable_and_nothing_absent(
    kind: type[SwitchCommand], status: int
) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text="<h1>Sorry</h1>", content_type="text/html")

    server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
    endpoint = AriEndpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ari", "me", "word")
    async with server, AriClient(endpoint) as ari:
        is_unknown = kind in (Play, SendDigits) and status > 500
        assert await AriCommands(ari).carry_out(sample(kind)) == (Unknown() if is_unknown else undone(kind))


@pytest.mark.parametrize("words", ["Resource not found", "Application not found"])
def test_a_module_that_is_not_there_yet_makes_nothing_absent(words: str) -> None:
    with pytest.raises(SwitchUnavailableError):
        outcome_of(AriAnswer(404, {"message": words}), "channel")
    assert outcome_of(AriAnswer(404, {"message": "Channel not found"}), "channel") == Absent("channel")


def test_asterisks_words_are_bounded() -> None:
    outcome = outcome_of(AriAnswer(400, {"message": "x" * 100_000}), "channel")
    assert outcome == Refused("x" * 200)


@pytest.mark.parametrize("is_passed_on", [True, False])
async def test_a_prompt_whose_answer_was_lost_is_looked_for_and_never_repeated(
    stage: Stage, asterisk: SharedAsterisk, tmp_path: Path, is_passed_on: bool
) -> None:
    async with stage.answered(tmp_path) as channel, losing_posts(asterisk.endpoint, is_passed_on) as endpoint:
        async with AriClient(endpoint) as ari:
            playback = new_uuid()
            outcome = await AriCommands(ari).carry_out(command(Play, channel, playback_id=playback, media=HELLO))
        assert outcome == (Done() if is_passed_on else Unknown())
        if is_passed_on:
            await stage.hears(PlaybackFinished(SWITCH, channel, playback))
        await stage.beat(channel)
        assert stage.count("PlaybackStarted", playback) == is_passed_on


@pytest.mark.parametrize("is_passed_on", [True, False])
async def test_a_channel_whose_answer_was_lost_is_created_by_the_next_try(
    stage: Stage, asterisk: SharedAsterisk, is_passed_on: bool
) -> None:
    channel = new_uuid()
    async with losing_posts(asterisk.endpoint, is_passed_on) as endpoint, AriClient(endpoint) as ari:
        assert await AriCommands(ari).carry_out(command(Create, channel, endpoint=ECHO)) == Unavailable()
    assert bool(await stage.state_of(channel)) is is_passed_on
    assert await stage.do(Create, channel, endpoint=ECHO) == Done()
    await stage.hears(ChannelEntered(SWITCH, channel))


@contextlib.asynccontextmanager
async def losing_posts(endpoint: AriEndpoint, is_passed_on: bool) -> AsyncIterator[AriEndpoint]:
    """The same ARI, behind somebody who hangs up on every POST, after or before it has reached Asterisk."""

    async def serve(request: web.BaseRequest) -> web.Response:
        async with AriClient(endpoint) as ari:
            body = await request.json() if request.can_read_body else None
            path = request.path.partition("/ari/")[2].split("/")
            if request.method == "POST":
                if is_passed_on:
                    await ari.ask("POST", *path, body=body)
                assert request.transport is not None
                request.transport.abort()
            answer = await ari.ask(request.method, *path)
            return web.json_response(answer.content, status=answer.status)

    server = await asyncio.get_running_loop().create_server(web.Server(serve), "127.0.0.1", 0)
    async with server:
        yield AriEndpoint(
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ari", endpoint.user, endpoint.password
        )


async def is_absent(stage: Stage, bridge: str) -> bool:
    return await stage.do(Find, thing="bridge", thing_id=bridge) == Absent("bridge")


def undone(kind: type[Command]) -> Unavailable:
    """It may be repeated: what must not be done twice was not done."""
    return Unavailable(is_undone=kind.policy is Policy.MARK)
