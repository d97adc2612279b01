"""The supervisor, with a real Asterisk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
import uvloop
from aiohttp import web

from offhook.domain.errors import MisconfiguredError
from offhook.switch.asterisk.ari import AriClient, AriEndpoint, NoSuchChannelError, SwitchUnavailableError
from offhook.switch.asterisk.configuration import AsteriskPorts, Rtp
from offhook.switch.asterisk.embedded import EmbeddedAsterisk
from offhook.switch.asterisk.installation import default_root
from offhook.switch.asterisk.switch import AsteriskSwitch
from tests.ports import free_port
from tests.running import Running
from tests.sipp.switches import eventually, own_asterisk, process_of


async def answers(asterisk: EmbeddedAsterisk) -> bool:
    try:
        async with AriClient(asterisk.endpoint) as ari:
            await ari.get("asterisk/info")
    except (SwitchUnavailableError, NoSuchChannelError):
        return False
    return True


async def test_the_next_start_adopts_one_that_runs(tmp_path: Path) -> None:
    port = free_port()
    first = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
    await first.start()
    second = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
    await second.start()
    try:
        assert second.pid == first.pid
        assert second.endpoint == first.endpoint
        assert await answers(second)
    finally:
        process = process_of(second.pid)
        await second.stop()
    assert not process.is_alive


async def test_one_that_was_started_otherwise_is_replaced(tmp_path: Path) -> None:
    first = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=free_port())
    await first.start()
    process = process_of(first.pid)
    async with own_asterisk(tmp_path / "a") as second:
        assert not process.is_alive
        assert second.pid != first.pid
        assert await answers(second)


async def test_one_of_a_version_before_the_prefix_is_replaced(tmp_path: Path) -> None:
    port = free_port()
    first = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
    await first.start()
    process = process_of(first.pid)
    (tmp_path / "a" / "prefix").unlink()
    second = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
    await second.start()
    try:
        assert not process.is_alive
        assert second.endpoint.url != first.endpoint.url
        assert second.endpoint.password == first.endpoint.password
        assert await answers(second)
    finally:
        await second.stop()


async def test_too_few_open_files_for_the_calls_are_told_at_the_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1300, hard))
    try:
        for name, rtp in (("enough", Rtp(20_000, 20_199)), ("few", Rtp(20_000, 20_201))):
            async with own_asterisk(tmp_path / name, rtp=rtp):
                pass
            output = capfd.readouterr()
            assert ("asterisk.few_files" in output.out + output.err) is (name == "few")
        assert "--nofile=1312" in output.out + output.err
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("prefix", ["", "/xyz"])
async def test_an_asterisk_of_ones_own_may_have_a_prefix(tmp_path: Path, prefix: str) -> None:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.json_response([])

    server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
    own = AriEndpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{prefix}/ari", "me", "word")
    async with server, AriClient(own) as ari:
        await ari.get("channels")
    assert asked == [f"{prefix}/ari/channels"]
    assert own.address == own.url.removesuffix(f"{prefix}/ari")


async def test_one_that_was_never_noted_is_found_by_its_pid_file(tmp_path: Path) -> None:
    first = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=free_port())
    await first.start()
    process = process_of(first.pid)
    (tmp_path / "a" / "running.json").unlink()
    async with own_asterisk(tmp_path / "a") as second:
        assert not process.is_alive
        assert await answers(second)


async def test_one_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.switch.asterisk.embedded._ADOPT_S", 0.3)
    monkeypatch.setattr("offhook.switch.asterisk.embedded._END_S", 0.3)
    port = free_port()
    first = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
    await first.start()
    os.kill(first.pid, signal.SIGSTOP)
    second = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
    await second.start()
    try:
        assert second.pid != first.pid
        assert await answers(second)
    finally:
        await second.stop()


async def test_its_logs_stay_small_while_strangers_knock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 50_000
    monkeypatch.setattr("offhook.switch.asterisk.private_files._MAX_LOG_BYTES", largest)
    monkeypatch.setattr("offhook.switch.asterisk.embedded._LOG_LOOK_S", 0.05)
    async with own_asterisk(tmp_path / "a") as asterisk:
        logs, pid = tmp_path / "a" / "log", asterisk.pid
        host, port = asterisk.sip.split(":")
        sent = 0
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:

            async def knock(word: str) -> None:
                nonlocal sent
                for _ in range(20):
                    stranger.sendto(f"OPTIONS sip:{word} SIP/2.0\r\nCSeq: {sent} x\r\n\r\n".encode(), (host, int(port)))
                    sent += 1
                await asyncio.sleep(0.02)

            def size(name: str) -> int:
                return (logs / name).stat().st_size if (logs / name).exists() else 0

            emptied, before = 0, 0
            while emptied < 3:
                await knock("x")
                now = size("messages.log")
                emptied += now < before
                before = now
                assert now < 4 * largest
                assert sent < 20_000
            await eventually(lambda: size("messages.log.1") > largest, "what was logged before is kept")
            assert {path.name for path in logs.iterdir() if path.name.startswith("messages")} == {
                "messages.log",
                "messages.log.1",
            }
            # It goes on to log where a person looks, at the beginning of the file.
            await knock("afterwards")
            await eventually(lambda: size("messages.log") > 0, "it goes on to log")
            assert b"\0" not in (logs / "messages.log").read_bytes()
        assert asterisk.pid == pid
        assert await answers(asterisk)


async def test_it_is_started_again_when_it_dies_at_the_same_place(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk:
        before, endpoint = asterisk.pid, asterisk.endpoint
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: asterisk.pid != before, "it is started again")
        await eventually(lambda: answers(asterisk), "it answers")
        assert asterisk.endpoint == endpoint


async def test_a_stop_leaves_none_behind_that_a_thread_is_just_starting(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    asterisk = EmbeddedAsterisk(folder, default_root(), sip_host="127.0.0.1", sip_port=free_port())
    running = Running()
    await running.add(asterisk)
    # Whoever opens a pipe for writing waits for a reader: the thread that starts the next one waits at this place.
    console, last_file = folder / "log" / "console.log", folder / "etc" / "websocket_client.conf"
    console.unlink()
    os.mkfifo(console)
    before = last_file.stat().st_ino
    os.kill(asterisk.pid, signal.SIGKILL)
    await eventually(lambda: last_file.stat().st_ino != before, "the next one is being started")
    stopping = asyncio.create_task(running.stop())
    await asyncio.wait([stopping], timeout=0.5)
    reader = os.open(console, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await stopping
        assert not (folder / "running.json").exists()
        await settled()
        assert processes_of(folder) == []
    finally:
        os.close(reader)
        kill(folder)


async def test_a_start_that_is_given_up_leaves_none_behind(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    asterisk = EmbeddedAsterisk(folder, default_root(), sip_host="127.0.0.1", sip_port=free_port())
    starting = asyncio.create_task(asterisk.start())
    await eventually(lambda: processes_of(folder) != [], "it is being started")
    try:
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert processes_of(folder) == []
    finally:
        kill(folder)


@pytest.mark.parametrize("way", ["stop", "kill_for_good"])
@pytest.mark.parametrize("note", ["running.json", "run/asterisk.pid"])
async def test_a_start_given_up_while_an_old_one_does_not_want_to_end_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, note: str
) -> None:
    folder = tmp_path / "a"
    old = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, "-C", str(folder / "etc" / "asterisk.conf")], stdout=subprocess.PIPE
    )
    try:
        assert old.stdout is not None
        assert old.stdout.read(5) == b"ready"
        (folder / note).parent.mkdir(parents=True)
        running = {"process": process_of(old.pid), "ports": AsteriskPorts("127.0.0.1", 5060, 1), "fingerprint": "old"}
        text = msgspec.json.encode(running) if note == "running.json" else str(old.pid).encode()
        (folder / note).write_bytes(text)
        asterisk = EmbeddedAsterisk(folder, default_root(), sip_host="127.0.0.1", sip_port=free_port())
        starting = asyncio.create_task(asterisk.start())
        told = await asyncio.to_thread(old.stdout.read, 4)
        assert told == b"told"
        monkeypatch.setattr("offhook.switch.asterisk.embedded._END_S", 0.3)
        starting.cancel()
        if way == "kill_for_good":
            asterisk.kill_for_good()
            assert old.wait(2) == -signal.SIGKILL
        with pytest.raises(asyncio.CancelledError):
            await starting
        await asterisk.stop()
        assert processes_of(folder) == []
    finally:
        old.kill()
        old.communicate()


STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("told", end="", flush=True))
print("ready", end="", flush=True)
while True:
    time.sleep(60)
"""


async def settled() -> None:
    """Wait for every thread of the loop's pool, whoever began its work."""
    await asyncio.get_running_loop().shutdown_default_executor()


def kill(folder: Path) -> None:
    """Leave nothing behind when a test has failed."""
    for pid in processes_of(folder):
        os.kill(pid, signal.SIGKILL)


def processes_of(folder: Path) -> list[int]:
    """The processes that run with the configuration in that folder."""
    ours = str(folder / "etc" / "asterisk.conf").encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if ours in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def test_it_works_on_uvloop(tmp_path: Path) -> None:
    async def run() -> None:
        async with own_asterisk(tmp_path / "a") as asterisk:
            before = asterisk.pid
            os.kill(before, signal.SIGKILL)
            await eventually(lambda: asterisk.pid != before, "it is started again")

    uvloop.run(run())


async def test_its_secrets_stay_in_its_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk:
        password, prefix = asterisk.endpoint.password, urlsplit(asterisk.endpoint.url).path.split("/")[1]
        assert len(prefix) >= 43
        for name in ("password", "prefix", "running.json", "etc/ari.conf", "etc/http.conf"):
            assert stat.S_IMODE((tmp_path / "a" / name).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
        command_line = Path(f"/proc/{asterisk.pid}/cmdline").read_bytes()
        for secret in (password, prefix):
            assert secret.encode() not in command_line
            assert secret not in repr(asterisk.endpoint)
        wrong = AriEndpoint(asterisk.endpoint.url, asterisk.endpoint.user, "wrong")
        async with AriClient(wrong) as ari:
            with pytest.raises(SwitchUnavailableError, match="401"):
                await ari.get("asterisk/info")
            with pytest.raises(SwitchUnavailableError, match="401: user or password are wrong"):
                async with ari.stream():
                    pass
        async with aiohttp.ClientSession() as stranger, stranger.get(f"{asterisk.endpoint.url}/channels") as answer:
            assert answer.status == 401
        running = Running()
        switch = await running.add(AsteriskSwitch(asterisk.endpoint, lambda: datetime.now(UTC)))
        await eventually(lambda: switch.is_connected, "it is connected")
        os.kill(asterisk.pid, signal.SIGKILL)
        await eventually(lambda: not switch.is_connected, "it is lost")
        await eventually(lambda: switch.is_connected, "it is connected again")
        await running.stop()
    logs = b"".join(path.read_bytes() for path in (tmp_path / "a" / "log").glob("*.log"))
    output = capfd.readouterr()
    shown = output.out + output.err
    assert b"Asterisk" in logs
    assert "asterisk.connected" in shown
    assert "asterisk.unreachable" in shown
    for secret in (password, prefix):
        assert secret.encode() not in logs
        assert secret not in shown


async def test_it_takes_connections_on_loopback_only(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk:
        sockets = {os.readlink(link) for link in Path(f"/proc/{asterisk.pid}/fd").iterdir() if link.is_symlink()}
        listening = [
            fields[1].split(":")[0]
            for table in ("tcp", "tcp6")
            for fields in map(str.split, Path(f"/proc/{asterisk.pid}/net/{table}").read_text().splitlines()[1:])
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets
        ]
        assert listening == ["0100007F"]  # ARI; SIP is over UDP only


async def test_a_taken_sip_port_is_refused_with_advice(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        asterisk = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="127.0.0.1", sip_port=port)
        with pytest.raises(MisconfiguredError, match="--sip"):
            await asterisk.start()


async def test_a_name_is_no_address(tmp_path: Path) -> None:
    asterisk = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host="localhost", sip_port=free_port())
    with pytest.raises(MisconfiguredError, match="'localhost' is none"):
        await asterisk.start()


@pytest.mark.parametrize("host", ["::1", "0.0.0.0"])
async def test_sip_can_be_taken_at_other_addresses(tmp_path: Path, host: str) -> None:
    port = free_port()
    asterisk = EmbeddedAsterisk(tmp_path / "a", default_root(), sip_host=host, sip_port=port)
    await asterisk.start()
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as phone:
            phone.settimeout(5)
            phone.connect((host, port))
            phone.send(
                f"OPTIONS sip:{port} SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1;rport\r\nFrom: <sip:a@b>;tag=1\r\n"
                f"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode()
            )
            assert phone.recv(2000).startswith(b"SIP/2.0 ")
    finally:
        await asterisk.stop()


async def test_without_an_asterisk_the_way_out_is_named(tmp_path: Path) -> None:
    asterisk = EmbeddedAsterisk(tmp_path / "a", tmp_path / "none", sip_host="127.0.0.1", sip_port=free_port())
    with pytest.raises(MisconfiguredError, match="--no-switch"):
        await asterisk.start()


async def test_a_folder_with_a_semicolon_and_a_space_in_its_name_is_fine(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "my; data" / "asterisk") as asterisk:
        assert await answers(asterisk)
