"""What a training shows in the Prefect dashboard while it runs: a progress bar, its last losses, curves, its lines.

All of it is bounded: an artifact is one row that is changed every few seconds, and a training that prints fast leaves a
few lines a second in the run's log (log.txt has all).
"""

import json
import logging
import math
import re
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from voicemill.flows.display.curves import VALIDATION, image, sparkline
from voicemill.model.training.engine.run import Progress
from voicemill.storage.units import Seconds

EVERY: Seconds = 5.0
"""Between two changes of the artifacts."""
LINES_PER_S = 3
LONGEST = 2000
"""Characters of a line in the run's log."""

watchers: list[Callable[[str, Progress], None]] = []
"""Who else wants to see the progress of trainings in this process: called with a title and the progress."""


class TrainingBoard:
    """The artifacts of one training; made with its first progress."""

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`title`: "s2 · finetune", what the training is called everywhere."""
        self.title, self._clock = title, clock
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.latest: Progress | None = None
        self._ids: dict[str, UUID] = {}
        self._next = 0.0
        self._said = ""

    def add(self, progress: Progress) -> None:
        """A line of progress; shown at once if the last change is long enough ago."""
        self.latest = progress
        for term, value in ({"loss": total(progress)} | dict(progress.losses)).items():
            self.series.setdefault(term, []).append((progress.step, value))
        for watch in watchers:
            watch(self.title, progress)
        if self._clock() >= self._next:
            self.show()

    def end(self, words: str) -> None:
        """The training is over: say how, and fill the bar."""
        self._said = words
        self.show()

    def show(self) -> None:
        """Bring the artifacts up to the last progress. A server that is away for a while does not end a training."""
        if self.latest is None:
            return
        try:
            self._show()
        except Exception as error:  # whatever its client raises
            logging.getLogger("prefect.voicemill").warning("The dashboard is not up to date: %s", error)
        self._next = self._clock() + EVERY

    def _show(self) -> None:
        assert self.latest is not None
        share = 100.0 if self._said else round(100 * self.latest.step / self.latest.steps, 1)
        said = self.describe()
        markdown = f"# {self.title}\n\n{said}\n\n{image(self.series)}\n"
        if not self._ids:
            key = "training-" + (re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-"))
            made: dict[str, Any] = {
                "progress": create_progress_artifact(progress=share, key=f"{key}-progress", description=said),
                "losses": create_table_artifact(table=self.table(), key=f"{key}-losses", description=said),
                "curves": create_markdown_artifact(markdown=markdown, key=f"{key}-curves", description=said),
            }
            self._ids = {name: cast(UUID, id_) for name, id_ in made.items()}  # coroutines only where called from one
            return
        data: dict[str, Any] = {"progress": share, "losses": json.dumps(self.table()), "curves": markdown}
        with get_client(sync_client=True) as client:
            for name, id_ in self._ids.items():
                client.update_artifact(id_, ArtifactUpdate(data=data[name], description=said))

    def describe(self) -> str:
        """One line: "loss 3.21 ▇▅▃▂▁, step 120 of 1000, 4.1 examples/s"; a card of the run's page shows its start."""
        assert self.latest is not None
        loss = self.series["loss"]
        speed = f"{self.latest.examples_per_s:.3g} examples/s, {self.latest.audio_per_s:.3g} s of speech a second"
        course = f"loss {loss[-1][1]:.4g} {sparkline(loss, 10)}"
        ended = f"; {self._said}" if self._said else ""
        return f"{course}, step {self.latest.step} of {self.latest.steps}, {speed}{ended}"

    def table(self) -> list[dict[str, object]]:
        """A row for each term: first, lowest and last value, and the last one of the validation set."""
        terms = [term for term in self.series if not term.startswith(VALIDATION)]
        return [
            {
                "loss": term,
                "first": _number(self.series[term][0][1]),
                "lowest": _number(min(value for _, value in self.series[term])),
                "last": _number(self.series[term][-1][1]),
                "validation": _number(self.series[VALIDATION + term][-1][1])
                if VALIDATION + term in self.series
                else "",
                "course": sparkline(self.series[term]),
            }
            for term in terms
        ]


def total(progress: Progress) -> float:
    """The loss that is minimised: as it says, or the sum of its terms."""
    terms = {term: value for term, value in progress.losses.items() if not term.startswith(VALIDATION)}
    return terms["loss"] if "loss" in terms else sum(terms.values())


def _number(value: float) -> object:
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)


class RunLog:
    """Passes lines on to a logger, a few a second at most and the last one always, and says how many it left out."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._allowance, self._last, self._left_out, self._latest = float(LINES_PER_S), clock(), 0, ""

    def __call__(self, line: str) -> None:
        """One line of output."""
        now = self._clock()
        self._allowance = min(LINES_PER_S, self._allowance + (now - self._last) * LINES_PER_S)
        self._last = now
        if self._allowance < 1:
            self._left_out, self._latest = self._left_out + 1, line
            return
        self._allowance -= 1
        self._count()
        self._say(line[:LONGEST])

    def close(self) -> None:
        """Say what was left out until now, and the last line of it as it was: how a training ended is told."""
        if self._left_out:
            self._left_out -= 1
            self._count()
            self._say(self._latest[:LONGEST])

    def _count(self) -> None:
        if self._left_out:
            self._say(f"... {self._left_out} lines are in log.txt alone")
            self._left_out = 0
