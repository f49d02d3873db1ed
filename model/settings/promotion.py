"""Metrics of an evaluation, and the settings of the gate that decides by them."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicemill.storage.voices.cards import Kind


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


class GateSettings(BaseModel):
    """What a challenger must reach, and how much worse than the champion it may be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)

    samples: int = Field(10, ge=1)
    """Fewest test sentences that a figure must rest on, and a comparison, for which two are needed at least."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of the intervals, two-sided."""
    resamples: int = Field(2000, ge=200, le=100_000)
    """Of the bootstrap."""
    bounds: dict[str, float] = {"duration_error": 0.5, "rtf": 1.0}
    """Metric -> the worst value of a champion: a least one where higher is better, else a largest one. A metric that
    cannot be judged keeps the challenger out: name those whose models are there, such as similarity and cer."""
    margins: dict[str, float] = {
        "similarity": 0.03,
        "identified": 0.1,
        "cer": 0.03,
        "wer": 0.05,
        "f0_error": 50.0,
        "duration_error": 0.1,
        "mcd": 0.5,
        "mos": 0.2,
    }
    """Metric -> by how much its mean may be worse than the champion's, in its own unit; what has no margin is not
    compared. Those of which neither entry has a figure are passed over. The interval of 20 sentences reaches half a
    standard deviation of the differences to either side: a smaller margin keeps out what is as good."""
    lanes: dict[Kind, dict[str, float]] = {}
    """Bounds that hold in one lane besides, or instead: `light = {rtf = 0.05}`."""

    @model_validator(mode="after")
    def _known(self) -> "GateSettings":
        parts = {"bounds": self.bounds, "margins": self.margins}
        parts |= {f"lanes.{lane}": bounds for lane, bounds in self.lanes.items()}
        for part, figures in parts.items():
            for name, value in figures.items():
                if name not in METRICS:
                    raise ValueError(f"{part} names {name!r}, which is no metric: expected {', '.join(METRICS)}")
                if not math.isfinite(value) or (part == "margins" and value < 0):
                    raise ValueError(f"{part}.{name} = {value}: expected a finite number, of margins none below 0")
        return self

    def bounds_of(self, lane: Kind) -> dict[str, float]:
        """The bounds of one lane."""
        return self.bounds | self.lanes.get(lane, {})
