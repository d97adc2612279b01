"""The speech process: speaks one text after another by espeak-ng, until nobody asks any more. A program of its own.

    python -P -m offhook.speech.process ROOT

Each line that it is given is an `Order`, and each that it writes an `Answer`, as JSON. It has no network to go to and
knows nothing but `ROOT`; what it may use of memory and time is bounded, and espeak-ng's text comes by its stdin. The
sound is brought to 8 kHz piece by piece as it comes, for Asterisk plays no other rate of a WAV file.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import soxr

from offhook.node.unpacked import command_line
from offhook.speech.installation import PROGRAM, data_folder
from offhook.speech.markup import spoken
from offhook.speech.orders import Answer, Order
from offhook.speech.port import BROKEN, LANGUAGE, NOTHING, TOO_LONG
from offhook.speech.voices import languages_in, matching, variant_of

RATE = 8_000
LONGEST_S = 1_200
"""Longer than any text that is taken, at its usual pace."""

_MAX_MEMORY = 512 * 1024**2
_MAX_FILE = 64 * 1024**2
_MAX_CPU_S = 20
_NICE = 10
# A WAV file's header as espeak-ng writes it: the rate stands at the 24th byte (RIFF WAVE, `fmt ` of 16 bytes).
_HEADER_SIZE, _RATE_AT = 44, 24
_PIECE = 65_536
# Of 32,767: what is quieter than this throughout is no speech.
_SILENCE = 100


class _FailedError(Exception):
    """Nothing can be made of it; its argument says why."""


class Engine:
    """One espeak-ng, unpacked at `root`."""

    def __init__(self, root: Path) -> None:
        data = data_folder(root)
        assert data is not None, root
        self._root = root
        self._data = data
        self._languages = languages_in(data)

    def speak(self, order: Order) -> Answer:
        """Make the file."""
        try:
            self._speak(order)
        except _FailedError as failed:
            return Answer(str(failed))
        except OSError:
            return Answer(BROKEN)
        return Answer()

    def _speak(self, order: Order) -> None:
        language = matching(order.language, self._languages)
        if not language:
            raise _FailedError(LANGUAGE)
        text = spoken(order.text, lambda name: matching(name, self._languages) if name else "")
        if not text:
            raise _FailedError(NOTHING)
        voice = self._languages[language] + variant_of(order.voice, self._data)
        descriptor = os.open(order.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, self._started(voice, text) as engine:
            try:
                _write(file, _resampled(engine))
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                engine.kill()
                raise
            if engine.wait() != 0:
                raise _FailedError(BROKEN)

    def _started(self, voice: str, text: str) -> subprocess.Popen[bytes]:
        # Out of memory, not through a pipe: nobody has to write while the sound is read.
        with os.fdopen(os.memfd_create("text"), "wb") as file:
            file.write(text.encode())
            file.flush()
            file.seek(0)
            return subprocess.Popen(  # noqa: S603 - a fixed program, and nothing of the text in its arguments
                command_line(self._root, PROGRAM, "-m", "-b", "1", "-v", voice, "--stdin", "--stdout"),
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"ESPEAK_DATA_PATH": str(self._data), "LANG": "C.UTF-8"},
                cwd="/",
                preexec_fn=_bound,  # noqa: PLW1509 - there are no threads here
            )


def main(root: str) -> None:
    """Speak what is ordered by stdin, until its end."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE, _MAX_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engine = Engine(Path(root))
    for line in sys.stdin.buffer:
        answer = engine.speak(msgspec.json.decode(line, type=Order))
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_S, _MAX_CPU_S))


def _resampled(engine: subprocess.Popen[bytes]) -> Iterator[np.ndarray]:
    """The sound at 8 kHz, piece by piece."""
    sound = engine.stdout
    assert sound is not None
    header = sound.read(_HEADER_SIZE)
    if len(header) < _HEADER_SIZE:
        raise _FailedError(BROKEN)
    rate = int.from_bytes(header[_RATE_AT : _RATE_AT + 4], "little")
    stream = soxr.ResampleStream(rate, RATE, 1, dtype="int16")
    while piece := sound.read(_PIECE):
        yield stream.resample_chunk(np.frombuffer(piece[: len(piece) // 2 * 2], dtype="<i2"))
    yield stream.resample_chunk(np.empty(0, dtype="<i2"), last=True)


def _write(file: IO[bytes], pieces: Iterator[np.ndarray]) -> None:
    count, loudest = 0, 0
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        for piece in pieces:
            count += len(piece)
            if count > LONGEST_S * RATE:
                raise _FailedError(TOO_LONG)
            if len(piece):
                loudest = max(loudest, int(piece.max()), -int(piece.min()))
            sound.writeframesraw(piece.tobytes())
    if loudest < _SILENCE:
        raise _FailedError(NOTHING)


if __name__ == "__main__":
    main(sys.argv[1])
