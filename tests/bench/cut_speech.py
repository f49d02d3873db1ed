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
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Batch, Decoded, Diarised, Segment, Upload
from voicemill.storage.units import RATE, Seconds
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
    """float32 [samples], 32 kHz."""

    @property
    def seconds(self) -> Seconds:
        return sum(map(len, self.waves)) / RATE


def cut_recordings(folder: str = "recordings") -> Iterator[CutRecording]:
    """Every recording of a folder of ../shared/speech that `slice` finds speech in."""
    with (SPEECH / folder / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        wave = read(SPEECH / folder / row["file"])
        waves = tuple(wave[segment.start : segment.stop] for segment in _segments(wave))
        if waves:
            yield CutRecording(
                speaker=row.get("speaker", ""),
                file=row["file"],
                language=row.get("language", ""),
                text=row.get("text", ""),
                source=row["source_repo"],
                waves=waves,
            )


def read(path: Path) -> Wave:
    """float32 [samples], 32 kHz, mono."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(wave.mean(1), rate, RATE), np.float32)


def _segments(wave: Wave) -> list[Segment]:
    decoded = Decoded(upload="u", samples=len(wave), pcm="", codec="", rate=RATE, channels=1)
    with tempfile.TemporaryDirectory() as folder, ArtifactWriter(Path(folder) / "decode.arrow") as writer:
        writer.audio("u", -1, wave)
        artifacts = {"decode": writer.finish([decoded], Decoded, ArtifactMeta("decode", "k"))}
        with ArtifactWriter(Path(folder) / "diarise.arrow") as other:
            artifacts["diarise"] = other.finish([], Diarised, ArtifactMeta("diarise", "k"))
        with Inputs(Batch("b", 1, (Upload("u", "s", "s/u", 1),)), artifacts) as inputs:
            rows = [row for row in slice_.run(inputs, slice_.Settings()) if isinstance(row, Segment)]
    return [row for row in rows if row.outcome is Outcome.KEPT]
