"""Speech synthesis of the demo corpus: espeak-ng, from the wheel `espeakng-loader` (the extra `demo`).

espeak-ng is not thread-safe, and its noise generator keeps its state as long as the process lives, so the same
sentence sounds different the second time. Hence `speak` starts a fresh process, which synthesises a list of lines in
order: the same list gives the same samples. A trap: voice variants with a `breath` line (f2, f3, f5, Alicia) read
uninitialised memory and never sound the same twice. Cost: about 0.1 s to start and 10 ms a sentence. The wheel's
licence is GPL-3.0: nothing but the demo and the tests may import this.

Source of the calls: espeak-ng's public header `speak_lib.h`, API revision 12.
"""

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.errors import VoicemillError

RATE = 22_050
"""Sample rate of espeak-ng, Hz."""

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_DONT_EXIT = 0x8000
_WORD, _END, _PHONEME = 1, 5, 7
"""Types of the events that are read: begin of a word, end of a clause, begin of a phone or pause."""
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_PATH_LIMIT = 120
"""Longest path of the data, bytes: espeak-ng 1.52 copies it into 160 bytes and appends names."""


@dataclass(frozen=True)
class Line:
    """A text and the voice that speaks it."""

    text: str
    voice: str
    """Language and variant in the names of espeak-ng: `en-us+f1`."""
    rate: int = 160
    """Speaking rate, words a minute."""
    pitch: int = 50
    """Pitch, 0 to 100."""
    range: int = 50
    """Pitch range, 0 (monotone) to 100."""


@dataclass(frozen=True)
class TimedWord:
    """Place of a word in the text and in the sound, as the synthesiser made it."""

    at: int
    """Index of its first character in the text."""
    start: int
    stop: int
    """Samples at `RATE`; it ends where the next word or a pause begins."""


def speak(lines: Sequence[Line]) -> list[NDArray[np.float32]]:
    """Synthesise `lines`, in one fresh process.

    Returns:
        float32 [samples] for each line, -1..1, at `RATE`, without the silence around it.

    Raises:
        VoicemillError: the extra `demo` is not installed, or espeak-ng has no voice of that name.
    """
    return [_trim(wave) for wave, _ in speak_timed(lines)]


def speak_timed(lines: Sequence[Line]) -> list[tuple[NDArray[np.float32], tuple[TimedWord, ...]]]:
    """Synthesise `lines` as `speak` does, with the silence around them and the times of their words.

    espeak-ng names no word for some characters (Chinese words of several): they belong to the word before them.
    """
    request = json.dumps([asdict(line) for line in lines]).encode()
    child = subprocess.run(
        [sys.executable, "-m", "voicemill.flows.demo.voice"], input=request, capture_output=True, timeout=600
    )
    if child.returncode:
        message = child.stderr.decode(errors="replace").strip()
        raise VoicemillError(message or f"espeak-ng ended with {child.returncode}")
    waves, at = [], 0
    for _ in lines:
        size = int.from_bytes(child.stdout[at : at + 4], "little")
        pcm = np.frombuffer(child.stdout, "<i2", size // 2, at + 4)
        at += 4 + size
        size = int.from_bytes(child.stdout[at : at + 4], "little")
        words = tuple(TimedWord(*word) for word in json.loads(child.stdout[at + 4 : at + 4 + size]))
        waves.append((pcm.astype(np.float32) / np.float32(32768), words))
        at += 4 + size
    return waves


def _trim(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The wave without what is under 1 % of the peak at both ends, with a margin of 10 ms."""
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max(initial=0))
    margin = RATE // 100
    return wave[max(loud[0] - margin, 0) : loud[-1] + margin] if len(loud) else wave


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int), ("number", ctypes.c_uint), ("position", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )  # fmt: skip


def _words(events: Sequence[tuple[int, int, int, bytes]]) -> list[tuple[int, int, int]]:
    """Index of the first character, start and stop of each word, from (type, position, sample, name) in order."""
    words: list[tuple[int, int, int]] = []
    begun: tuple[int, int] | None = None
    for kind, position, sample, name in events:
        if begun and (kind in (_WORD, _END) or (kind == _PHONEME and name.startswith(b"_:"))):
            words.append((*begun, sample))
            begun = None
        if kind == _WORD and position:
            begun = position - 1, sample
    return [word for word in words if word[2] > word[1]]


def _serve() -> None:
    """Run the process that `speak` starts: lines as JSON on standard input; for each its int16 samples and the JSON of
    its words, both behind their size in 4 bytes, on standard output."""
    try:
        import espeakng_loader
    except ImportError:
        sys.exit("the demo speaks with espeak-ng, which is not installed: pip install 'voicemill[demo]'")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    chunks: list[bytes] = []
    events: list[tuple[int, int, int, bytes]] = []

    def listen(wave: int | None, samples: int, happened: Any) -> int:
        if wave and samples > 0:
            chunks.append(ctypes.string_at(wave, 2 * samples))
        number = 0
        while happened[number].type:
            event = happened[number]
            number += 1
            events.append((event.type, event.position, event.sample, event.name))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))(listen)
    with tempfile.TemporaryDirectory() as short:
        data = espeakng_loader.get_data_path()
        if len(data.encode()) > _PATH_LIMIT:
            (Path(short) / "espeak-ng-data").symlink_to(data)
            data = short
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT | _PHONEME_EVENTS)
        if rate != RATE:
            sys.exit(f"espeak-ng answered {rate} when asked to start with the data in {data}; {RATE} Hz was expected")
        library.espeak_SetSynthCallback(callback)
        for line in (Line(**fields) for fields in json.load(sys.stdin)):
            if library.espeak_SetVoiceByName(line.voice.encode()):
                sys.exit(f"espeak-ng has no voice {line.voice!r}")
            for parameter, value in ((_RATE, line.rate), (_PITCH, line.pitch), (_RANGE, line.range)):
                library.espeak_SetParameter(parameter, value, 0)
            text = line.text.encode() + b"\0"
            chunks.clear()
            events.clear()
            if library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None):
                sys.exit(f"espeak-ng could not synthesise {line.text!r}")
            wave = b"".join(chunks)
            words = json.dumps(_words(events)).encode()
            sys.stdout.buffer.write(b"".join(len(part).to_bytes(4, "little") + part for part in (wave, words)))


if __name__ == "__main__":
    _serve()
