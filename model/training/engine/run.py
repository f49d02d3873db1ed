"""The folder of one training: its task, progress and result. The flow writes and reads it.

<store>/training/<name>/run.json          RunSpec, written once
                        progress.jsonl    a line (`Progress`) every few steps, appended
                        result.json       `Result`, written last, atomically
                        checkpoints/      step-00001000/: to resume from; the last ones and the best
                        tensorboard/
                        export/           s1.safetensors or s2.safetensors (+ adapter/): the trained weights
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
    """Everything that a training depends on; paths are those of the machine that trains."""

    store: str
    version: int
    """Corpus version, pinned."""
    network: Network
    phase: str
    """Name of the phase in `settings.phases`."""
    settings: TrainingSettings
    speakers: tuple[str, ...] = ()
    """Target speakers of the mix; empty = no target."""
    start: str = ""
    """Checkpoint to start from; empty = that of the settings, or from scratch."""
    quantizer: str = ""
    """Checkpoint of the s2 whose codes s1 learns; s1 only."""
    teachers: Mapping[str, str] = field(default_factory=dict)
    """Stem ("s1", "s2") -> checkpoint that a student learns from; empty = the corpus alone teaches."""

    def write(self, folder: Path) -> None:
        """Write `<folder>/run.json`."""
        raw = asdict(self) | {"settings": self.settings.model_dump(mode="json")}
        write_json(folder / "run.json", raw, indent=1)

    @classmethod
    def read(cls, folder: Path) -> "RunSpec":
        """Return the spec in `<folder>/run.json`. Raises ConfigError where there is none."""
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
    """Steps of the whole phase."""
    losses: Mapping[str, float]
    """Means of the weighted terms since the last line; "validation/..." where a validation took place."""
    rate: float
    """Learning rate."""
    examples_per_s: float
    audio_per_s: float
    """Seconds of speech per second."""
    seconds: Seconds
    """Duration of the training so far, all attempts."""


@dataclass(frozen=True)
class Result:
    """Outcome of a training."""

    outcome: str
    """finished, early (patience ran out), or the cause of its stop: not_finite, no_memory, no_data."""
    detail: str
    """Explanation for a reader, with utterance ids where there are some."""
    step: int
    best_step: int
    best: float
    """Validation loss of the best step; nan where nothing was held out."""
    losses: Mapping[str, float]
    """Losses of the last line of the log."""
    exports: Mapping[str, str] = field(default_factory=dict)
    """Stem ("s1", "s2", "adapter") -> path of the weights of the best step."""

    @property
    def good(self) -> bool:
        """Whether the training reached its end."""
        return self.outcome in ("finished", "early")


def progress(folder: Path, after: int = -1) -> Iterator[Progress]:
    """Yield the lines whose step is larger than `after`; an incomplete line is left for the next call."""
    path = folder / "progress.jsonl"
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n") and (found := Progress(**json.loads(line))).step > after:
            yield found


def result(folder: Path) -> Result | None:
    """Return the result; None while the training runs, or where it was killed."""
    path = folder / "result.json"
    return Result(**json.loads(path.read_bytes())) if path.exists() else None


def finish(folder: Path, outcome: Result) -> None:
    """Write result.json."""
    write_json(folder / "result.json", asdict(outcome), indent=1)


def as_json(value: Mapping[str, Any]) -> str:
    """Return JSON in one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
