"""Choice of one of several audio streams: the one that changes as speech does, and the others by name."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from voicemill.storage.audio.budget import Budget
from voicemill.storage.audio.containers import Container
from voicemill.storage.audio.libav import open_libav
from voicemill.storage.audio.links import Link
from voicemill.storage.errors import AudioError
from voicemill.storage.units import Seconds

HEARD: Seconds = 60.0
"""Duration of each stream that is judged."""
_RATE = 16_000


def best_track(path: Path, link: Link, container: Container, names: Sequence[str]) -> tuple[int, str]:
    """Number of the stream with the most speech, from 0, and a note that names it and the others."""
    scores = [_speech(path, link, container, track) for track in range(len(names))]
    best = int(np.argmax(scores))
    others = ", ".join(name for at, name in enumerate(names) if at != best)
    return (
        best,
        f"of {len(names)} audio tracks number {names[best]} was taken, which has the most speech; not: {others}",
    )


def _speech(path: Path, link: Link, container: Container, track: int) -> float:
    """Share of 30 ms frames that WebRTC's strictest detector takes for speech and that differ from their neighbours.

    Music is loud without pauses, so that the share is weighed by how much the level changes.
    """
    import soxr
    import webrtcvad

    parts, seconds = [], 0.0
    with ExitStack() as stack:
        try:
            source, _ = open_libav(path, link, container, stack, Budget(), track)
            for chunk in source.blocks() if source else ():
                if seconds >= HEARD:
                    break
                seconds += len(chunk.data) / chunk.rate
                wave = np.nan_to_num(chunk.data.mean(axis=1))
                parts.append(wave if chunk.rate == _RATE else soxr.resample(wave, chunk.rate, _RATE, "QQ"))
        except AudioError:
            pass
    wave = np.concatenate([np.zeros(0, np.float32), *parts])
    frames = wave[: len(wave) // 480 * 480].reshape(-1, 480)
    if not len(frames) or not wave.any():
        return -1.0
    level = 10 * np.log10(np.maximum(frames.astype(np.float64).var(axis=1), 1e-10))
    gain = min(10 ** ((-26 - np.percentile(level, 95)) / 20), 1000.0)
    pcm = (np.clip(frames * gain, -1, 1) * 32767).astype("<i2")
    detector = webrtcvad.Vad(3)
    share = float(np.mean([detector.is_speech(frame.tobytes(), _RATE) for frame in pcm]))
    spread = float(np.maximum(level, np.percentile(level, 99) - 40).std())
    return share * min(spread / 8.0, 1.0) + 1e-3 * min(spread, 10.0)
