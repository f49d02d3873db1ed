"""The folder of one training: what it was asked for, how far it is, what came of it. The flow writes and reads it.

<store>/training/<name>/run.json          RunSpec, written once
                        progress.jsonl    a line (`Progress`) every few steps, appended
                        result.json       `Result`, written last, whole or not at all
                        checkpoints/      step-00001000/: to resume from; the last ones and the best
                        tensorboard/
                        export/           s1.safetensors or s2.safetensors (+ adapter/): what speaks
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from voicemill.model.settings.training import Network, TrainingSettings
from voicemill.storage.errors import ConfigError
from voicemill.storage.files import write_json
from voicemill.storage.units import Seconds


@dataclass(frozen=True)
class RunSpec:
    """Everything that a training depends on; paths are of the machine that trains."""

    store: str
    version: int
    """Corpus version, pinned."""
    network: Network
    phase: str
    """A name in `settings.phases`."""
    settings: TrainingSettings
    speakers: tuple[str, ...] = ()
    """Targets of the mix; empty = no target."""
    start: str = ""
    """Checkpoint to start from; empty = the one of the settings, or from scratch."""
    quantizer: str = ""
    """s1 only: the checkpoint of s2 whose codes it learns."""
    teachers: Mapping[str, str] = field(default_factory=dict)
    """A student's: stem ("s1", "s2") -> the checkpoint that it learns from; empty = the corpus alone teaches."""

    def write(self, folder: Path) -> None:
        """To `<folder>/run.json`."""
        raw = asdict(self) | {"settings": self.settings.model_dump(mode="json")}
        write_json(folder / "run.json", raw, indent=1)

    @classmethod
    def read(cls, folder: Path) -> "RunSpec":
        """Raises ConfigError where the folder has none."""
        path = folder / "run.json"
        if not path.is_file():
            raise ConfigError(f"{folder} is not the folder of a training: it has no run.json")
        raw = json.loads(path.read_bytes())
        settings = TrainingSettings(**raw["settings"])
        return cls(**raw | {"settings": settings, "speakers": tuple(raw["speakers"])})


@dataclass(frozen=True)
class Progress:
    """One line of progress.jsonl."""

    step: int
    steps: int
    """Of the phase: all of them."""
    losses: Mapping[str, float]
    """Terms since the last line, weighted, meaned; "validation/..." where an evaluation fell into it."""
    rate: float
    """Learning rate."""
    examples_per_s: float
    audio_per_s: float
    """Seconds of speech per second."""
    seconds: Seconds
    """Of training so far, all attempts."""


@dataclass(frozen=True)
class Result:
    """What came of a training."""

    outcome: str
    """finished, early (patience), or what stopped it: not_finite, no_memory, no_data."""
    detail: str
    """For a reader: why, with ids where there are some."""
    step: int
    best_step: int
    best: float
    """Validation loss of the best step; nan where nothing was held out."""
    losses: Mapping[str, float]
    """The last ones."""
    exports: Mapping[str, str] = field(default_factory=dict)
    """Stem ("s1", "s2", "adapter") -> path, of the best step."""

    @property
    def good(self) -> bool:
        """Whether it trained to its end."""
        return self.outcome in ("finished", "early")


def progress(folder: Path, after: int = -1) -> Iterator[Progress]:
    """The lines whose step is larger than `after`; a line that is being written is left for the next call."""
    path = folder / "progress.jsonl"
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n") and (found := Progress(**json.loads(line))).step > after:
            yield found


def result(folder: Path) -> Result | None:
    """None while it runs, or where it was killed."""
    path = folder / "result.json"
    return Result(**json.loads(path.read_bytes())) if path.exists() else None


def finish(folder: Path, outcome: Result) -> None:
    """Write result.json."""
    write_json(folder / "result.json", asdict(outcome), indent=1)


def as_json(value: Mapping[str, Any]) -> str:
    """One line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
