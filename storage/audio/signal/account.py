"""Account of one reading of a file: what was lost, what was done to the samples, and whether to read it again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from voicemill.storage.audio.signal.channels import MEAN, Mix
from voicemill.storage.audio.signal.chunks import Note
from voicemill.storage.audio.signal.conditioning import AS_IT_IS, Condition
from voicemill.storage.outcomes import LostStretch, Reason
from voicemill.storage.units import Samples, Seconds, to_seconds

UNDECIDED = Condition(gain_db=float("nan"))
"""Condition of a treatment whose mix alone is known."""


@dataclass(frozen=True)
class Treatment:
    """Treatment of the samples of a file: mix of its channels, conditioning."""

    mix: Mix = MEAN
    condition: Condition = AS_IT_IS


@dataclass
class Account:
    """Findings of the reading of a file; complete behind its last sample."""

    treatment: Treatment | None = None
    """Given: what to do. None = what the first minute asks for."""
    best: Treatment = Treatment()
    """Treatment that the whole file asks for."""
    lost: list[LostStretch] = field(default_factory=list)
    clipped: dict[int, Seconds] = field(default_factory=dict)
    """Tenth of a second -> seconds of clipped samples in it."""
    samples: Samples = 0

    @property
    def again(self) -> bool:
        """Whether the whole file asks for another treatment than its first minute did."""
        used = self.treatment or Treatment()
        return used.mix.weights != self.best.mix.weights or not used.condition.near(self.best.condition)

    def describe(self, notes: Sequence[Note]) -> tuple[str, str]:
        """Reason and message for what is missing, "" where nothing is; the message also says what was done."""
        used = self.treatment or Treatment()
        texts = [note.text for note in notes]
        if self.lost:
            first, total = self.lost[0], to_seconds(sum(part.stop - part.start for part in self.lost))
            texts.insert(0, f"{total:.2f} s were lost, the first at {to_seconds(first.start):.2f} s: {first.detail}")
        if used.mix.name:
            texts.append(used.mix.name)
        if used.condition.gain_db:
            texts.append(f"its level was changed by {used.condition.gain_db:+.1f} dB")
        reasons = [note.reason for note in notes if note.reason]
        if any(part.stop < self.samples for part in self.lost) or (self.lost and not reasons):
            reasons.insert(0, Reason.DAMAGED.value)
        return reasons[0] if reasons else "", "; ".join(texts)[:500]
