"""The supervisor of an Asterisk of our own, in a private folder.

Theory of operation. The Asterisk runs in a session of its own and outlives a server that is killed, calls and all.
`running.json` in its folder says which process it is, where it listens and with which configuration it was started. The
next start *adopts* it if that very process lives, was started with what would be written today, and answers over
ARI to our password; otherwise it ends it and begins a new one. From then on a task waits for the process to end and
starts it again, after a pause that grows if it ends soon. `stop` ends it, also one that a thread is just starting, and
an old one whose end a start that was given up was still waiting for.

Its logs are bounded while it runs as well, as every stranger's packet may be some lines. One that has grown too large
is copied to `.1` and emptied; Asterisk appends, and goes on at the beginning. (It would go on to write to a file that
was moved away until it is told, and it may not listen while it is busy with those packets.)
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from offhook.domain.errors import MisconfiguredError
from offhook.node.backoff import Backoff
from offhook.node.service import Service
from offhook.switch.asterisk import configuration
from offhook.switch.asterisk.ari import AriClient, AriEndpoint, NoSuchChannelError, SwitchUnavailableError
from offhook.switch.asterisk.configuration import AsteriskPorts, Rtp, Secrets
from offhook.switch.asterisk.installation import command, music_folder
from offhook.switch.asterisk.ports import check_address, check_sip_is_free, free_port, is_free
from offhook.switch.asterisk.private_files import bound_log, secret_in, write_private
from offhook.switch.asterisk.process import ProcessId

log = structlog.get_logger()

_READY_S = 30.0
_ADOPT_S = 5.0
_POLL_S = 0.05
_END_S = 5.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_STEADY_S = 30.0
# ARI answers before the modules are there that bring the dialplan and SIP.
_MODULES = ("pbx_config", "chan_pjsip", "res_pjsip_endpoint_identifier_ip")
_LOGS = ("console.log", "messages.log")
_LOG_LOOK_S = 5.0
# Measured on 22: 5 while a sound is played, 10 with the echo; a recording, a snoop and music take a few more.
_FILES_PER_CALL = 12
_FILES_WITHOUT_CALLS = 100


class _Running(msgspec.Struct, frozen=True):
    """What is remembered of the Asterisk that was started last."""

    process: ProcessId
    ports: AsteriskPorts
    fingerprint: str


class EmbeddedAsterisk(Service):
    """An Asterisk in `folder`, run from the packages unpacked at `root`, with SIP at `sip_host:sip_port`."""

    def __init__(self, folder: Path, root: Path, *, sip_host: str, sip_port: int, rtp: Rtp | None = None) -> None:
        self._folder = folder.absolute()
        self._root = root.absolute()
        self._sip = (sip_host, sip_port)
        self._rtp = rtp or Rtp()
        self._secrets = Secrets("", "")
        self._running: _Running | None = None
        # An old one that was told to end, and may take its time; it still has SIP's port.
        self._ending: ProcessId | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._spawning: asyncio.Future[None] | None = None
        self._spawn_lock = threading.Lock()
        self._is_stopping = False

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "asterisk"

    @property
    def endpoint(self) -> AriEndpoint:
        """How to reach its ARI; it stays the same over restarts. Only after `start`."""
        assert self._running is not None
        url = f"http://127.0.0.1:{self._running.ports.ari_port}/{self._secrets.prefix}/ari"
        return AriEndpoint(url, configuration.USER, self._secrets.password)

    @property
    def pid(self) -> int:
        """The process that runs now. Only after `start`."""
        return self.process.pid

    @property
    def sip(self) -> str:
        """Where it takes calls, as HOST:PORT."""
        host, port = self._sip
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def takes_local_calls(self) -> bool:
        """Whether programs on this machine may call without a password (see `configuration`)."""
        return ipaddress.ip_address(self._sip[0]).is_loopback

    async def start(self) -> None:
        """Adopt or begin one, return once ARI answers. Raises MisconfiguredError; then none is left running."""
        self._is_stopping = False
        check_address(self._sip[0])
        configuration.make_folders(self._folder)
        self._secrets = Secrets(secret_in(self._folder / "password"), secret_in(self._folder / "prefix"))
        try:
            await self._adopt_or_begin()
        except BaseException:
            await self.stop()
            raise
        self._warn()

    @property
    def process(self) -> ProcessId:
        """As `pid`, and when it began. Only after `start`."""
        assert self._running is not None
        return self._running.process

    async def is_healthy(self) -> bool:
        """Whether it lets somebody connect."""
        async with AriClient(self.endpoint) as ari:
            return await ari.is_healthy()

    def kill(self) -> None:
        """End it at once. Its supervisor starts another one, if it is there and not told to stop."""
        if self._ending is not None:
            self._ending.send(signal.SIGKILL)
        if self._running is not None:
            self._running.process.send(signal.SIGKILL)

    def kill_for_good(self) -> None:
        """End it at once, without an event loop. Nothing starts another one any more."""
        self._is_stopping = True
        # One that is being started right now is noted, and ended, once the lock is free.
        self._spawn_lock.acquire(timeout=_END_S)
        self.kill()

    async def stop(self) -> None:
        """End it, and every call that it has. None is being started any more when this returns."""
        self._is_stopping = True
        if self._spawning is not None:
            await asyncio.wait([self._spawning])
        if self._ending is not None:
            await self._end_old(self._ending)
        if self._running is not None:
            await self._end(self._running.process)
            (self._folder / "running.json").unlink(missing_ok=True)

    async def _adopt_or_begin(self) -> None:
        before = _read(self._folder / "running.json")
        if before is not None and await self._adopt(before):
            log.info("asterisk.adopted", pid=before.process.pid)
        else:
            await self._end_stray()
            await self._begin(before)

    def _warn(self) -> None:
        """Say what will not work, and what to do about it."""
        if not self.takes_local_calls:
            hint = (
                "SIP listens beyond loopback, where everybody needs an account, and there are none yet: every call is "
                "refused with 401. For calls from this machine use --sip 127.0.0.1:5060; for others use an Asterisk "
                "of your own with --asterisk URL (docs/how-to/operate.md)"
            )
            log.warning("asterisk.nobody_is_let_in", sip=self.sip, hint=hint)
        if music_folder(self._root) is None:
            log.warning("asterisk.no_music", hint="callers on hold hear silence: run `make setup` to fetch music")
        limit, _ = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        needed = self._rtp.call_count * _FILES_PER_CALL + _FILES_WITHOUT_CALLS
        if limit != resource.RLIM_INFINITY and limit < needed:
            enough_for = max(limit - _FILES_WITHOUT_CALLS, 0) // _FILES_PER_CALL
            hint = (
                f"enough for about {enough_for} calls at once, and the "
                f"ports for voice for {self._rtp.call_count}: run `sudo prlimit --pid $$ --nofile={needed}` in the "
                f"shell that starts it, or set LimitNOFILE={needed} in the service's unit; or set switch.rtp_last lower"
            )
            log.warning(
                "asterisk.few_files", open_files_limit=limit, needed=needed, max_call_count=enough_for, hint=hint
            )

    async def _adopt(self, before: _Running) -> bool:
        if not before.process.is_alive or not self._is_ours(before.process):
            return False
        host, port = self._sip
        same_sip = (before.ports.sip_host, before.ports.sip_port) == (host, port)
        if same_sip and before.fingerprint == self._fingerprint(before.ports):
            self._running = before
            if await self._answers(_ADOPT_S) and await self.is_healthy():
                return True
            log.warning("asterisk.does_not_answer", pid=before.process.pid)
        self._running = None
        await self._end_old(before.process)
        return False

    async def _end_stray(self) -> None:
        """End one that was started and never noted: we were killed in between."""
        try:
            process = ProcessId.of(int((self._folder / "run" / "asterisk.pid").read_text()))
        except (OSError, ValueError):
            return
        if process is not None and self._is_ours(process):
            log.warning("asterisk.stray_ended", pid=process.pid)
            await self._end_old(process)

    async def _end_old(self, process: ProcessId) -> None:
        # Whoever waits here may be cancelled; what is noted then is left to `stop` and `kill`.
        self._ending = process
        await process.end(_END_S)
        self._ending = None

    def _is_ours(self, process: ProcessId) -> bool:
        return str(self._folder / "etc" / "asterisk.conf") in process.command_line

    async def _begin(self, before: _Running | None) -> None:
        host, port = self._sip
        check_sip_is_free(host, port, tcp=not self.takes_local_calls)
        ari_port = before.ports.ari_port if before is not None and is_free(before.ports.ari_port) else free_port()
        ports = AsteriskPorts(host, port, ari_port)
        await self._spawn(ports)
        if self._running is None:
            raise MisconfiguredError("The embedded Asterisk was told to stop before it was started.")
        if not await self._answers(_READY_S):
            raise MisconfiguredError(
                f"The embedded Asterisk did not come up in {_READY_S:.0f} s. Its log is in {self._folder / 'log'}."
            )
        log.info("asterisk.started", pid=self.pid, sip=self.sip, ari_port=ari_port)

    async def run(self) -> None:
        """Start it again whenever it ends, and keep its logs small."""
        assert self._running is not None
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            began = time.monotonic()
            await self._ended()
            if self._is_stopping:
                return
            self._reap()
            if time.monotonic() - began > _STEADY_S:
                backoff.reset()
            pause_s = backoff.pause_s()
            log.error("asterisk.ended", pid=self._running.process.pid, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            if self._is_stopping:
                return
            try:
                await self._spawn(self._running.ports)
            except (OSError, MisconfiguredError) as error:
                log.error("asterisk.not_started", error=str(error))

    async def _ended(self) -> None:
        """Return once the process has ended; its logs are looked after meanwhile."""
        assert self._running is not None
        while True:
            try:
                async with asyncio.timeout(_LOG_LOOK_S):
                    await self._running.process.ended()
                return
            except TimeoutError:
                await asyncio.to_thread(self._bound_logs)

    def _bound_logs(self) -> None:
        for name in _LOGS:
            bound_log(self._folder / "log" / name)

    async def _spawn(self, ports: AsteriskPorts) -> None:
        # From fork to the note of its id nothing may come in between, or the process could be lost. Whoever waits here
        # may be cancelled; the thread goes on, and `stop` waits for it.
        if self._is_stopping:
            return
        self._spawning = asyncio.ensure_future(asyncio.to_thread(self._spawn_now, ports))
        await asyncio.shield(self._spawning)

    def _spawn_now(self, ports: AsteriskPorts) -> None:
        with self._spawn_lock:
            if not self._is_stopping:
                self._begin_process(ports)

    def _begin_process(self, ports: AsteriskPorts) -> None:
        etc = self._folder / "etc"
        for name, text in self._files(ports).items():
            write_private(etc / name, text.encode())
        self._bound_logs()
        with (self._folder / "log" / "console.log").open("ab") as log_file:
            self._child = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                command(self._root, "usr/sbin/asterisk", "-f", "-C", str(etc / "asterisk.conf")),
                cwd=self._folder,
                env={"PATH": os.defpath, "HOME": str(self._folder), "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = ProcessId.of(self._child.pid) or ProcessId(self._child.pid, 0)
        self._running = _Running(process, ports, self._fingerprint(ports))
        write_private(self._folder / "running.json", msgspec.json.encode(self._running))

    async def _end(self, process: ProcessId) -> None:
        await process.end(_END_S)
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None

    async def _answers(self, patience_s: float) -> bool:
        """Whether it answers over ARI to our password in time."""
        assert self._running is not None
        async with AriClient(self.endpoint) as ari:
            try:
                async with asyncio.timeout(patience_s):
                    while self._running.process.is_alive:
                        if await self._is_up(ari):
                            return True
                        await asyncio.sleep(_POLL_S)
            except TimeoutError:
                pass
        return False

    async def _is_up(self, ari: AriClient) -> bool:
        try:
            for name in _MODULES:
                if (await ari.get(f"asterisk/modules/{name}.so"))["status"] != "Running":
                    return False
            for path in ("channels", "bridges", *(["endpoints/PJSIP/local"] if self.takes_local_calls else [])):
                await ari.get(path)
        except (SwitchUnavailableError, NoSuchChannelError):
            return False
        return True

    def _fingerprint(self, ports: AsteriskPorts) -> str:
        return hashlib.sha256(msgspec.json.encode(self._files(ports), order="sorted")).hexdigest()

    def _files(self, ports: AsteriskPorts) -> Mapping[str, str]:
        return configuration.files(self._folder, self._root, ports, self._rtp, self._secrets)


def _read(path: Path) -> _Running | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Running)
    except (OSError, msgspec.DecodeError):
        return None
