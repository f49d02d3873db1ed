"""Decoding, times real time on one core, by format; the stage as it runs, hash and artifact included.

    python tests/bench/decode.py [minutes]

Writes bench/decode.json.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter
from voicemill.storage.keys import file_digest
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Batch, Decoded, Upload
from voicemill.tasks.contract.stage import Audio, Inputs
from voicemill.tasks.stages.decode import Settings, run

FORMATS = [
    ("flac 16 kHz", "FLAC", "PCM_16", 16_000, 1),
    ("flac 32 kHz", "FLAC", "PCM_16", 32_000, 1),
    ("flac 44.1 kHz stereo", "FLAC", "PCM_16", 44_100, 2),
    ("flac 48 kHz", "FLAC", "PCM_24", 48_000, 1),
    ("wav 48 kHz", "WAV", "PCM_16", 48_000, 1),
    ("ogg vorbis 44.1 kHz", "OGG", "VORBIS", 44_100, 1),
    ("opus 48 kHz", "OGG", "OPUS", 48_000, 1),
    ("mp3 16 kHz", "MP3", "MPEG_LAYER_III", 16_000, 1),
    ("mp3 44.1 kHz stereo", "MP3", "MPEG_LAYER_III", 44_100, 2),
]


def voice_like(seconds: float, rate: int, channels: int) -> Any:
    """Noise with the spectrum and the pauses of speech, so that the codecs have their usual work."""
    rng = np.random.default_rng(0)
    samples = round(seconds * rate)
    noise = np.cumsum(rng.normal(0, 1, samples))
    noise -= np.convolve(noise, np.ones(200) / 200, "same")
    envelope = np.clip(np.sin(2 * np.pi * 0.4 * np.arange(samples) / rate) + 0.6, 0.01, 1)
    wave = 0.1 * noise / noise.std() * envelope
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def decoded(path: Path, uploads: tuple[Upload, ...]) -> Iterator[Decoded]:
    """Artifact of one run of the stage."""
    rows: list[Decoded] = []
    with ArtifactWriter(path.parent / "out.arrow") as writer:
        for record in run(Inputs(Batch("b", 1, uploads)), Settings(), lambda _: path):
            assert not isinstance(record, Failure), record
            if isinstance(record, Audio):
                writer.audio(record.upload, record.index, record.wave)
            else:
                rows.append(record)
        writer.finish(rows, Decoded, ArtifactMeta("decode", "key"))
    yield from rows


def main(minutes: float = 10.0) -> None:
    """Print a table and write it as JSON."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, container, subtype, rate, channels in FORMATS:
            path = Path(folder) / "audio"
            wave = voice_like(60 * minutes, rate, channels)
            with soundfile.SoundFile(path, "w", rate, channels, format=container, subtype=subtype) as out:
                for start in range(0, len(wave), rate):
                    out.write(wave[start : start + rate])
            upload = Upload(file_digest(path), "anna", "audio", path.stat().st_size)
            times = []
            for _ in range(4):
                began = os.times()
                wall = time.perf_counter()
                (row,) = decoded(path, (upload,))
                wall = time.perf_counter() - wall
                cpu = os.times()
                times.append((wall, cpu.user + cpu.system - began.user - began.system))
                assert row.outcome == "kept", row
            wall, cpu_s = median(t[0] for t in times[1:]), median(t[1] for t in times[1:])
            figures[name] = {"x_real_time": round(60 * minutes / wall), "x_of_cpu_time": round(60 * minutes / cpu_s)}
            print(f"{name:>24} {60 * minutes / wall:>8.0f} x real time, {60 * minutes / cpu_s:>6.0f} x by CPU time")
    Path("bench").mkdir(exist_ok=True)
    Path("bench/decode.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
