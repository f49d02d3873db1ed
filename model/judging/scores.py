"""The figures of an evaluation of one voice, by test sentence and in total; to and from JSON.

Two voices that were evaluated on the same test set (`Scores.testset`) can be compared sentence by sentence.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scores:
    """Figures of one evaluation."""

    testset: str
    """sha256 of the test set: the same = the same sentences, recordings and references."""
    voice: str
    """Entry that was evaluated: "anna/0003"."""
    items: Mapping[str, Mapping[str, float]]
    """Metric -> test sentence -> figure; sentences without that figure are left out."""
    totals: Mapping[str, float]
    """Metric -> total: means of `items`, the median of rtf, and the metrics without sentences: parameters, bytes."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why it has no figure, and how to get one."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Models, settings, code version and threads of the evaluation."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Scores":
        """Return the scores of `as_json`."""
        return cls(**raw)


def shown(value: float | None) -> str:
    """Return a figure as text for readers."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
