"""Segments are read with the silence around them, and with nothing else."""

from pathlib import Path

import numpy as np

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter
from voicemill.storage.outcomes import Outcome, Reason
from voicemill.storage.records import Batch, Decoded, Segment, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.signal import segment_reader
from voicemill.tasks.contract.stage import Inputs

ROWS = (
    (0.0, 0.1, Outcome.SILENCE),
    (0.1, 1.5, Outcome.KEPT),
    (1.5, 3.0, Outcome.KEPT),  # cut within speech
    (3.0, 5.0, Outcome.SILENCE),
    (5.0, 6.0, Outcome.KEPT),
    (6.0, 6.5, Outcome.FILTERED),  # too short
    (6.5, 6.6, Outcome.SILENCE),
    (6.6, 8.0, Outcome.KEPT),
)
"""Start and stop of the rows of an upload, seconds, and their outcomes."""


def made(folder: Path) -> Inputs:
    """An upload whose samples are their own numbers, in thousandths of a second."""
    wave = (np.arange(8 * RATE) // (RATE // 1000)).astype(np.float32)
    with ArtifactWriter(folder / "decode.arrow") as writer:
        writer.audio("a", -1, wave)
        decoded = Decoded(upload="a", samples=len(wave), pcm="", codec="wav", rate=RATE, channels=1)
        artifacts = {"decode": writer.finish([decoded], Decoded, ArtifactMeta("decode", "k"))}
    rows = []
    for start, stop, outcome in ROWS:
        index = sum(row.outcome is Outcome.KEPT for row in rows) if outcome is Outcome.KEPT else -1
        reason = {Outcome.SILENCE: Reason.NO_SPEECH, Outcome.FILTERED: Reason.TOO_SHORT}.get(outcome)
        rows.append(
            Segment(
                upload="a",
                index=index,
                start=round(start * RATE),
                stop=round(stop * RATE),
                outcome=outcome,
                reason=reason or "",
            )
        )
    with ArtifactWriter(folder / "slice.arrow") as writer:
        artifacts["slice"] = writer.finish(rows, Segment, ArtifactMeta("slice", "k"))
    return Inputs(Batch("b", 1, (Upload(sha256="a", speaker="s", path="s/a.wav", size=1),)), artifacts)


def bounds(folder: Path, context_s: float) -> list[tuple[float, float]]:
    """Start and stop of what is read of each segment, seconds."""
    with made(folder) as inputs:
        read = segment_reader(inputs, "original", context_s)
        waves = [read(segment) for segment in inputs.segments()]
    return [(float(wave[0]) / 1000, float(wave[-1] + 1) / 1000) for wave in waves]


def test_context_is_silence_and_nothing_else(tmp_path: Path) -> None:
    assert bounds(tmp_path, 0.2) == [(0.0, 1.5), (1.5, 3.2), (4.8, 6.0), (6.5, 8.0)]
    assert bounds(tmp_path, 0.0) == [(0.1, 1.5), (1.5, 3.0), (5.0, 6.0), (6.6, 8.0)]
    assert bounds(tmp_path, 1.0)[1:3] == [(1.5, 4.0), (4.0, 6.0)]
