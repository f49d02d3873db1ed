"""Segments of the recordings of ../shared/speech as `slice` cuts them, for the benchmarks of recognition."""

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.records import Batch, Decoded, Diarised, Segment, Upload
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract.signal import segment_reader
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import slice as slice_

SPEECH = Path(__file__).parents[2] / "../shared/speech"


@dataclass(frozen=True, kw_only=True)
class CutRecording:
    """One recording with its kept segments."""

    speaker: str
    file: str
    language: str
    text: str
    source: str
    waves: tuple[Wave, ...]
    """Segments with their context, float32 [samples], 32 kHz."""
    seconds: Seconds
    """Length of the segments alone."""


def cut_recordings(
    folder: str = "recordings", context_s: Seconds = 0.0, keep_empty: bool = False
) -> Iterator[CutRecording]:
    """Every recording of a folder of ../shared/speech that `slice` keeps a segment of.

    Args:
        context_s: silence that is read around a segment, as `transcribe` does.
        keep_empty: recordings without a segment, too.
    """
    with (SPEECH / folder / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        waves, seconds = _segments(read(SPEECH / folder / row["file"]), context_s)
        if waves or keep_empty:
            yield CutRecording(
                speaker=row.get("speaker", ""),
                file=row["file"],
                language=row.get("language", ""),
                text=row.get("text", ""),
                source=row["source_repo"],
                waves=waves,
                seconds=seconds,
            )


def read(path: Path) -> Wave:
    """float32 [samples], 32 kHz, mono."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(wave.mean(1), rate, RATE), np.float32)


def _segments(wave: Wave, context_s: Seconds) -> tuple[tuple[Wave, ...], Seconds]:
    """Kept segments, float32 [samples], 32 kHz, with their context, and their length without it."""
    decoded = Decoded(upload="u", samples=len(wave), pcm="", codec="", rate=RATE, channels=1)
    batch = Batch("b", 1, (Upload("u", "s", "s/u", 1),))
    with tempfile.TemporaryDirectory() as folder:
        with ArtifactWriter(Path(folder) / "decode.arrow") as writer:
            writer.audio("u", -1, wave)
            artifacts = {"decode": writer.finish([decoded], Decoded, ArtifactMeta("decode", "k"))}
        with ArtifactWriter(Path(folder) / "diarise.arrow") as writer:
            artifacts["diarise"] = writer.finish([], Diarised, ArtifactMeta("diarise", "k"))
        with Inputs(batch, artifacts) as inputs:
            rows = [row for row in slice_.run(inputs, slice_.Settings()) if isinstance(row, Segment)]
        with ArtifactWriter(Path(folder) / "slice.arrow") as writer:
            artifacts["slice"] = writer.finish(rows, Segment, ArtifactMeta("slice", "k"))
        with Inputs(batch, artifacts) as inputs:
            read_segment = segment_reader(inputs, "original", context_s)
            kept = inputs.segments()
            waves = tuple(read_segment(segment) for segment in kept)
    return waves, sum(segment.stop - segment.start for segment in kept) / RATE
