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

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.errors import VoicemillError

RATE = 22_050
"""Sample rate of espeak-ng, Hz."""

_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
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


def speak(lines: Sequence[Line]) -> list[NDArray[np.float32]]:
    """Synthesise `lines`, in one fresh process.

    Returns:
        float32 [samples] for each line, -1..1, at `RATE`, without the silence around it.

    Raises:
        VoicemillError: the extra `demo` is not installed, or espeak-ng has no voice of that name.
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
        waves.append(_trim(pcm.astype(np.float32) / np.float32(32768)))
        at += 4 + size
    return waves


def _trim(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The wave without what is under 1 % of the peak at both ends, with a margin of 10 ms."""
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max(initial=0))
    margin = RATE // 100
    return wave[max(loud[0] - margin, 0) : loud[-1] + margin] if len(loud) else wave


def _serve() -> None:
    """Run the process that `speak` starts: lines as JSON on standard input; sizes (4 bytes) and int16 samples out."""
    try:
        import espeakng_loader
    except ImportError:
        sys.exit("the demo speaks with espeak-ng, which is not installed: pip install 'voicemill[demo]'")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    chunks: list[bytes] = []

    def listen(wave: int | None, samples: int, _events: int) -> int:
        if wave and samples > 0:
            chunks.append(ctypes.string_at(wave, 2 * samples))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(listen)
    with tempfile.TemporaryDirectory() as short:
        data = espeakng_loader.get_data_path()
        if len(data.encode()) > _PATH_LIMIT:
            (Path(short) / "espeak-ng-data").symlink_to(data)
            data = short
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
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
            if library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None):
                sys.exit(f"espeak-ng could not synthesise {line.text!r}")
            wave = b"".join(chunks)
            sys.stdout.buffer.write(len(wave).to_bytes(4, "little") + wave)


if __name__ == "__main__":
    _serve()
