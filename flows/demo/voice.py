"""The voices of the demo corpus: espeak-ng, from the wheel `espeakng-loader` (the extra `demo`).

espeak-ng is not thread-safe, and its noise generator keeps its state for as long as the process lives, so the same
sentence sounds different the second time. Hence `speak` starts a fresh process, which says a list of lines in order:
the same list gives the same samples. A trap: voice variants with a `breath` line (f2, f3, f5, Alicia) read memory that
nobody set, and never sound the same twice. It costs about 0.1 s to start and 10 ms a sentence. The wheel's licence is
GPL-3.0: nothing but the demo and the tests may import this.

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
"""Hz. What espeak-ng speaks at."""

_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_PATH_LIMIT = 120
"""espeak-ng 1.52 copies the path of its data into 160 bytes, and adds names to it."""


@dataclass(frozen=True)
class Line:
    """One thing to say."""

    text: str
    voice: str
    """Language and variant as espeak-ng names them: `en-us+f1`."""
    rate: int = 160
    """Words a minute."""
    pitch: int = 50
    """0..100."""
    range: int = 50
    """Liveliness of the melody, 0 = monotone, 100."""


def speak(lines: Sequence[Line]) -> list[NDArray[np.float32]]:
    """Say `lines`, in one fresh process.

    Returns:
        float32 [samples] for each line, -1..1, at `RATE`, without the silence around it.

    Raises:
        VoicemillError: the extra `demo` is not installed, or espeak-ng does not know a voice.
    """
    request = json.dumps([asdict(line) for line in lines]).encode()
    child = subprocess.run(
        [sys.executable, "-m", "voicemill.flows.demo.voice"], input=request, capture_output=True, timeout=600
    )
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip()
        raise VoicemillError(said or f"espeak-ng ended with {child.returncode}")
    waves, at = [], 0
    for _ in lines:
        size = int.from_bytes(child.stdout[at : at + 4], "little")
        pcm = np.frombuffer(child.stdout, "<i2", size // 2, at + 4)
        waves.append(_trim(pcm.astype(np.float32) / np.float32(32768)))
        at += 4 + size
    return waves


def _trim(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without what is under 1 % of the peak at both ends, 10 ms of margin left."""
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max(initial=0))
    margin = RATE // 100
    return wave[max(loud[0] - margin, 0) : loud[-1] + margin] if len(loud) else wave


def _serve() -> None:
    """The other side of `speak`: JSON lines on standard input; for each, its size (4 bytes) and int16 samples."""
    try:
        import espeakng_loader
    except ImportError:
        sys.exit("espeak-ng is not installed and the demo speaks with it: pip install 'voicemill[demo]'")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    heard: list[bytes] = []

    def listen(wave: int | None, samples: int, _events: int) -> int:
        if wave and samples > 0:
            heard.append(ctypes.string_at(wave, 2 * samples))
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
            heard.clear()
            if library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None):
                sys.exit(f"espeak-ng could not say {line.text!r}")
            wave = b"".join(heard)
            sys.stdout.buffer.write(len(wave).to_bytes(4, "little") + wave)


if __name__ == "__main__":
    _serve()
