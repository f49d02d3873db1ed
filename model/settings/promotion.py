"""Metrics of an evaluation, and the settings of the gate that decides by them."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from voicemill.storage.settings_file import FrozenSettings
from voicemill.storage.voices.cards import Kind


@dataclass(frozen=True)
class Metric:
    """A metric of an evaluation."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    """Direction of better values."""
    meaning: str
    """Explanation for the reader of a report, one sentence."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("similarity", "cosine", "higher", "Speaker similarity of the speech to the real recording"),
        Metric("identified", "share", "higher", "Sentences whose nearest speaker of the corpus is the right one"),
        Metric("cer", "share", "lower", "Character error rate of the recogniser's transcript"),
        Metric("wer", "share", "lower", "Word error rate of the recogniser's transcript"),
        Metric("f0_error", "cents", "lower", "Pitch error over frames that are voiced in both, aligned in time"),
        Metric("duration_error", "share", "lower", "Difference of the length from that of the real recording"),
        Metric("mcd", "dB", "lower", "Mel-cepstral distortion against the real recording, aligned in time"),
        Metric("mos", "1 to 5", "higher", "Opinion score, as a model predicts it"),
        Metric("rtf", "seconds per second", "lower", "Real-time factor"),
        Metric("parameters", "count", "lower", "Weights of all networks that speak"),
        Metric("bytes", "bytes", "lower", "Size of all files that speak"),
        Metric("log_mel_distance", "nepers", "lower", "Mean absolute log-mel distance to the speech of the teacher"),
        Metric("token_agreement", "share", "higher", "Codes equal to the teacher's, each after the teacher's own"),
    )
}


class GateSettings(FrozenSettings):
    """Rules of the promotion gate: what a challenger must reach, and how much worse than the champion it may be."""

    samples: int = Field(10, ge=1)
    """Fewest test sentences behind a figure, and behind a comparison, which needs two at least."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence level of the intervals, two-sided."""
    resamples: int = Field(2000, ge=200, le=100_000)
    """Resamples of the bootstrap."""
    bounds: dict[str, float] = Field({"duration_error": 0.5, "rtf": 1.0})
    """Metric -> the worst value that a champion may have: the lowest where higher is better, else the highest. A metric
    without a value blocks the challenger, so name only those whose models are installed, such as similarity and cer."""
    margins: dict[str, float] = Field(
        {
            "similarity": 0.03,
            "identified": 0.1,
            "cer": 0.03,
            "wer": 0.05,
            "f0_error": 50.0,
            "duration_error": 0.1,
            "mcd": 0.5,
            "mos": 0.2,
        }
    )
    """Metric -> how much worse than the champion's its mean may be, in its own unit. A metric without a margin is not
    compared, one without a figure of either entry is skipped. The interval of 20 sentences reaches half a standard
    deviation of the differences to either side: a smaller margin blocks challengers that are equally good."""
    lanes: dict[Kind, dict[str, float]] = Field({})
    """Lane -> bounds that are added to `bounds` or replace them there: `light = {rtf = 0.05}`."""

    @model_validator(mode="after")
    def _known(self) -> "GateSettings":
        parts = {"bounds": self.bounds, "margins": self.margins}
        parts |= {f"lanes.{lane}": bounds for lane, bounds in self.lanes.items()}
        for part, figures in parts.items():
            for name, value in figures.items():
                if name not in METRICS:
                    raise ValueError(f"{part} names {name!r}, which is no metric: expected {', '.join(METRICS)}")
                if not math.isfinite(value) or (part == "margins" and value < 0):
                    raise ValueError(f"{part}.{name} = {value}: expected a finite number, and a margin of 0 or more")
        return self

    def bounds_of(self, lane: Kind) -> dict[str, float]:
        """Return the bounds that hold in one lane."""
        return self.bounds | self.lanes.get(lane, {})
