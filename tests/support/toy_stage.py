"""toy: mean absolute value of every 10 ms of each kept segment. A whole feature stage, to be added to the list.

Nothing but this module and two lines in the registry (an import and an entry) make it a stage: see `add_toy_stage`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Feature
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract.prepared import Prepared, kept_segments
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded
from voicemill.tasks.stages.mel import feature_row

FLOORS = ("flows", "tasks", "model", "storage")


class Settings(StageSettings):
    """Settings of the toy."""

    window_s: Seconds = Field(0.01, gt=0)
    """Seconds over which the mean is taken."""


def run(inputs: Inputs, settings: Settings) -> Iterator[Feature | Failure]:
    """One `Feature` for each kept segment."""
    waves, step = Prepared(inputs), round(settings.window_s * RATE)
    for row in kept_segments(inputs):

        def work(upload: str = row.upload, index: int = row.index) -> list[Feature]:
            wave = waves.read(upload, index)
            frames = np.abs(wave[: len(wave) // step * step]).reshape(-1, step).mean(axis=1, keepdims=True)
            return [feature_row(upload, index, frames)]

        yield from guarded(row.upload, work, row.index)


STAGE = Stage(
    name="toy",
    version=1,
    settings=Settings,
    needs=("denoise", "loudness", "screen"),
    row=Feature,
    run=run,
    feature_table=lambda settings: "toy",
)


def add_toy_stage(repository: Path, folder: Path) -> Path:
    """A copy of the package in `folder` with this module as a stage: the folder for PYTHONPATH."""
    package = folder / "voicemill"
    shutil.copytree(repository / "voicemill", package, ignore=shutil.ignore_patterns(*FLOORS, "__pycache__"))
    for floor in FLOORS:
        shutil.copytree(repository / floor, package / floor, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(__file__, package / "tasks" / "stages" / "toy.py")
    registry = package / "tasks" / "registry.py"
    text = registry.read_text("utf-8")
    for line, added in (
        ("    transcribe,\n", "    toy,\n"),
        ("    mel.STAGE,\n", "    toy.STAGE,\n"),
    ):
        assert text.count(line) == 1
        text = text.replace(line, line + added)
    registry.write_text(text, "utf-8")
    return folder
