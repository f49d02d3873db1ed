"""The checkpoints that a training resumes from: folders `checkpoints/step-00001000/`, complete or absent.

tensors.pt   weights, optimisers and the scaler, by torch.save; read without running anything in it
state.json   `State`, and the sha256 of tensors.pt

Written into a temporary folder, flushed to the disk, renamed. A folder that is damaged nevertheless (a lost disk block,
an interrupted copy) is recognised by its digest and skipped. No state of a random generator is stored: every step seeds
its own.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from voicemill.storage.files import whole_folder
from voicemill.storage.keys import file_digest
from voicemill.storage.units import Seconds


@dataclass(frozen=True)
class State:
    """Position of a training, without its tensors."""

    step: int
    """Optimiser steps done."""
    best: float
    """Smallest validation loss; inf = none yet."""
    best_step: int
    waited: int
    """Validations since the best one."""
    parts: int
    """Parts of a step: devices x rounds of accumulation. More than the settings ask for where memory ran out."""
    seconds: Seconds
    """Duration of the training, all attempts."""
    pending: bool = False
    """Whether it ended between a step and what follows it (validation, log, checkpoint), which is then done first."""
    sums: Mapping[str, float] = field(default_factory=dict)
    """Sums of the terms since the last line of the log."""
    counted: int = 0
    """Steps since the last line of the log."""


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, folder: Path, keep: int, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.keep = keep
        self.warn = warn

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, ascending."""
        return sorted(int(path.name[5:]) for path in self.folder.glob("step-*") if path.name[5:].isdigit())

    def save(self, state: State, tensors: Mapping[str, Any]) -> None:
        """Write a checkpoint, then delete all but the last `keep` and the best.

        Raises OSError: the disk is full; earlier checkpoints are untouched.
        """
        target = self.path(state.step)
        with whole_folder(target, replace=True) as building:  # one that is there is damaged, or lacks what follows it
            with (building / "tensors.pt").open("wb") as file:
                torch.save(dict(tensors), file)
            about = asdict(state) | {"sha256": file_digest(building / "tensors.pt")}
            (building / "state.json").write_text(json.dumps(about, indent=1))
        for step in self.steps()[: -self.keep]:
            if step != state.best_step:
                shutil.rmtree(self.path(step))

    def latest(self) -> State | None:
        """Return the state of the newest intact checkpoint, with a warning for each damaged one; None = there is none.

        Also deletes the temporary folders of killed processes.
        """
        for path in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(path)
        for step in reversed(self.steps()):
            try:
                return self._state(step)
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.warn(f"{self.path(step)} is damaged ({error}): skipped, the checkpoint before it is used")
        return None

    def tensors(self, step: int) -> dict[str, Any]:
        """Return the tensors of one step, on the CPU.

        Raises ValueError where the checkpoint is damaged, OSError where it does not exist.
        """
        self._state(step)
        loaded: dict[str, Any] = torch.load(self.path(step) / "tensors.pt", map_location="cpu", weights_only=True)
        return loaded

    def _state(self, step: int) -> State:
        about = json.loads((self.path(step) / "state.json").read_bytes())
        expected, found = about.pop("sha256"), file_digest(self.path(step) / "tensors.pt")
        if found != expected:
            raise ValueError(f"tensors.pt has sha256 {found[:12]}, expected {expected[:12]}")
        return State(**about)
