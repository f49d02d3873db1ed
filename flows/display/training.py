"""Artifacts of a running training in the Prefect dashboard: a progress bar, a table of losses, curves, and its log.

All are bounded: an artifact is one row that is updated every few seconds, and the run's log takes a few lines a second
(log.txt has all).
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
from voicemill.flows.report import markdown
from voicemill.model.training.engine.run import Progress
from voicemill.storage.units import Seconds

EVERY: Seconds = 5.0
"""Interval between updates of the artifacts."""
LINES_PER_S = 3
"""Lines a second that the run's log takes, at most."""
LONGEST = 2000
"""Longest line in the run's log, characters; longer ones are cut."""

watchers: list[Callable[[str, Progress], None]] = []
"""Further displays of the trainings in this process, each called with a title and the progress."""


class TrainingBoard:
    """Artifacts of one training, created with its first progress."""

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`title`: network and phase, "s2 · finetune", as in the name of the task run."""
        self.title, self._clock = title, clock
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.latest: Progress | None = None
        self._ids: dict[str, UUID] = {}
        self._next = 0.0
        self._outcome = ""

    def add(self, progress: Progress) -> None:
        """Add a line of progress, and update the artifacts if the last update is `EVERY` seconds ago."""
        self.latest = progress
        for term, value in ({"loss": total(progress)} | dict(progress.losses)).items():
            self.series.setdefault(term, []).append((progress.step, value))
        for watch in watchers:
            watch(self.title, progress)
        if self._clock() >= self._next:
            self.show()

    def end(self, outcome: str) -> None:
        """Show the outcome of the training, and fill the bar."""
        self._outcome = outcome
        self.show()

    def show(self) -> None:
        """Update the artifacts to the last progress. An unreachable server does not stop the training."""
        if self.latest is None:
            return
        try:
            self._show()
        except Exception as error:  # any error of the client
            logging.getLogger("prefect.voicemill").warning("the dashboard is not up to date: %s", error)
        self._next = self._clock() + EVERY

    def _show(self) -> None:
        assert self.latest is not None
        share = 100.0 if self._outcome else round(100 * self.latest.step / self.latest.steps, 1)
        title, description = markdown.text(self.title), markdown.text(self.describe())
        page = f"# {title}\n\n{description}\n\n{image(self.series)}\n"
        if not self._ids:
            key = "training-" + (re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-"))
            artifacts: dict[str, Any] = {
                "progress": create_progress_artifact(progress=share, key=f"{key}-progress", description=description),
                "losses": create_table_artifact(table=self.table(), key=f"{key}-losses", description=description),
                "curves": create_markdown_artifact(markdown=page, key=f"{key}-curves", description=description),
            }
            self._ids = {name: cast(UUID, id_) for name, id_ in artifacts.items()}  # coroutines only if called from one
            return
        data: dict[str, Any] = {"progress": share, "losses": json.dumps(self.table()), "curves": page}
        with get_client(sync_client=True) as client:
            for name, id_ in self._ids.items():
                client.update_artifact(id_, ArtifactUpdate(data=data[name], description=description))

    def describe(self) -> str:
        """One line, "loss 3.21 ▇▅▃▂▁, step 120 of 1000, 4.1 examples/s": cards on the run's page show its beginning."""
        assert self.latest is not None
        loss = self.series["loss"]
        speed = f"{self.latest.examples_per_s:.3g} examples/s, {self.latest.audio_per_s:.3g} s of speech a second"
        course = f"loss {loss[-1][1]:.4g} {sparkline(loss, 10)}"
        ended = f"; {self._outcome}" if self._outcome else ""
        return f"{course}, step {self.latest.step} of {self.latest.steps}, {speed}{ended}"

    def table(self) -> list[dict[str, object]]:
        """Row for each term: first, lowest and last value, the last validation value, and the course."""
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
    """The minimised loss: the term "loss", or the sum of the terms."""
    terms = {term: value for term, value in progress.losses.items() if not term.startswith(VALIDATION)}
    return terms["loss"] if "loss" in terms else sum(terms.values())


def _number(value: float) -> object:
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)


class RunLog:
    """Passes on a few lines a second and always the last one, and reports how many it left out."""

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._allowance, self._updated, self._left_out, self._latest = float(LINES_PER_S), clock(), 0, ""

    def __call__(self, line: str) -> None:
        """Pass on a line of output, or count it as left out."""
        now = self._clock()
        self._allowance = min(LINES_PER_S, self._allowance + (now - self._updated) * LINES_PER_S)
        self._updated = now
        if self._allowance < 1:
            self._left_out, self._latest = self._left_out + 1, line
            return
        self._allowance -= 1
        self._count()
        self._log(line[:LONGEST])

    def close(self) -> None:
        """Report the lines left out so far and pass on the last of them, which tells how the training ended."""
        if self._left_out:
            self._left_out -= 1
            self._count()
            self._log(self._latest[:LONGEST])

    def _count(self) -> None:
        if self._left_out:
            self._log(f"... {self._left_out} more lines in log.txt")
            self._left_out = 0
