"""What an evaluation found of one voice: figures by test sentence, and figures of the whole. JSON in and out.

Two voices that were heard on the same test set (`Scores.testset`) can be compared sentence by sentence.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scores:
    """The account of one evaluation."""

    testset: str
    """sha256 of the test set: the same = the same sentences, recordings and references."""
    voice: str
    """Entry that was heard: "anna/0003"."""
    items: Mapping[str, Mapping[str, float]]
    """Metric -> test sentence -> figure; what could not be judged of a sentence is left out."""
    totals: Mapping[str, float]
    """Metric -> figure of the whole: means of `items`, of rtf the median; and what belongs to no sentence: parameters,
    bytes."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why there is no figure of it, and what would give one."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """What judged: models, settings, code version, threads."""

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Scores":
        """The inverse of `as_json`."""
        return cls(**raw)


def shown(value: float | None) -> str:
    """A figure for readers."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
