"""What an evaluation found of one voice: figures by test sentence, and figures of the whole. JSON in and out.

Two voices that were heard on the same test set (`Scores.testset`) can be compared sentence by sentence.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """One figure."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    """Which of two is the better one."""
    meaning: str
    """A sentence for the reader of a report."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("similarity", "cosine", "higher", "Speaker similarity of the speech to the real recording"),
        Metric("identified", "share", "higher", "Sentences whose nearest speaker of the corpus is the right one"),
        Metric("cer", "share", "lower", "Character error rate of what a recogniser hears"),
        Metric("wer", "share", "lower", "Word error rate of what a recogniser hears"),
        Metric("f0_error", "cents", "lower", "Pitch error over frames that are voiced in both, aligned in time"),
        Metric("duration_error", "share", "lower", "Difference of the length from that of the real recording"),
        Metric("mcd", "dB", "lower", "Mel-cepstral distortion against the real recording, aligned in time"),
        Metric("mos", "1 to 5", "higher", "Opinion score as a predictor hears it"),
        Metric("rtf", "seconds per second", "lower", "Real-time factor"),
        Metric("parameters", "count", "lower", "Weights of all networks that speak"),
        Metric("bytes", "bytes", "lower", "Size of all files that speak"),
        Metric("log_mel_distance", "nepers", "lower", "Mean absolute log-mel distance to what the teacher says"),
        Metric("token_agreement", "share", "higher", "Codes that are the teacher's, each after the teacher's own"),
    )
}


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
