"""What a report says: the records of it, numbers and arrays, and what the states and reasons mean.

`flows.report.collect` fills them from the tables of one corpus version; `flows.report.growth` compares versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import Version
from voicemill.storage.outcomes import Outcome, Reason, UploadState
from voicemill.storage.units import Bits, Decibels, Hertz, Lufs, Samples, Seconds, to_seconds

Values = NDArray[np.float64]

MEANING: Mapping[UploadState, str] = {
    UploadState.PREPARED: "went through the stages; the ledger has every second of them",
    UploadState.HELD: "no consent on record: not processed",
    UploadState.DUPLICATE: "the same bytes or the same samples as another upload: in the corpus once",
    UploadState.CORRUPT: "the bytes are bad; not tried again",
    UploadState.FAILED: "our code, a model or the machine failed on them; tried again at the next refresh",
    UploadState.REFUSED: "a link or name that leaves the inbox, or an owner who was forgotten",
}
"""Of a state, where no reason says more."""


@dataclass(frozen=True)
class Part:
    """Audio of one outcome that one stage decided for one reason."""

    outcome: Outcome
    reason: str
    stage: str
    samples: Samples
    uploads: int

    @property
    def seconds(self) -> Seconds:
        return to_seconds(self.samples)

    @property
    def meaning(self) -> str:
        """The line that explains the reason."""
        return meaning(self.reason)


@dataclass(frozen=True)
class States:
    """Uploads of one state and reason."""

    state: UploadState
    reason: str
    uploads: int
    seconds: Seconds

    @property
    def meaning(self) -> str:
        return meaning(self.reason) or MEANING[self.state]


@dataclass(frozen=True)
class Speaker:
    """One speaker: what arrived, and what became of it."""

    name: str
    uploads: int
    seconds: Seconds
    """That the ledger accounts for; nothing of held uploads."""
    kept: Seconds
    utterances: int
    languages: tuple[str, ...]
    """Of the utterances, the one with most audio first."""
    f0_median: Hertz
    """Median over the utterances; 0 = none is voiced."""


@dataclass(frozen=True)
class Held:
    """A speaker without consent on record."""

    speaker: str
    uploads: int
    seconds: Seconds
    command: str


@dataclass(frozen=True)
class Language:
    """Kept audio of one language; "" = unknown."""

    code: str
    seconds: Seconds
    utterances: int
    speakers: int
    aligned: int
    """Utterances with word times."""


@dataclass(frozen=True)
class Setting:
    """One setting of the recipe."""

    section: str
    name: str
    value: Any
    before: Any
    """In the version before; equal to `value` where it did not change."""

    @property
    def changed(self) -> bool:
        return bool(self.value != self.before)


@dataclass(frozen=True)
class Measures:
    """Of each utterance, float64 [utterances]; of filtered segments where named so."""

    seconds: Values
    before: Values
    """LUFS."""
    after: Values
    snr_db: Values
    entropy: Values
    f0_by_speaker: Mapping[str, Values]
    """Speaker -> Hz, float64 [utterances with voiced frames]."""
    entropy_low: Values
    """Scores of segments filtered as `entropy_low`."""
    entropy_high: Values
    noisy: Values
    """SNR of segments filtered as `noisy`."""
    peak_bound: int
    """Utterances whose gain the true-peak bound held back."""
    denoised: int
    with_text: int
    aligned: int


@dataclass(frozen=True)
class Bounds:
    """The settings that are drawn as lines; None where the recipe has none."""

    target_lufs: Lufs | None
    min_entropy: Bits | None
    max_entropy: Bits | None
    min_snr_db: Decibels | None
    denoise_snr_db: Decibels | None
    min_seconds: Seconds | None
    max_seconds: Seconds | None


@dataclass(frozen=True)
class Facts:
    """Everything a report says."""

    store: str
    version: Version
    history: Sequence[Version]
    """Up to this version, oldest first."""
    seconds: Seconds
    """That the ledger accounts for."""
    outcomes: Mapping[Outcome, Seconds]
    parts: Sequence[Part]
    """Longest first within an outcome."""
    states: Sequence[States]
    speakers: Sequence[Speaker]
    """Most kept audio first."""
    held: Sequence[Held]
    uploads: Mapping[UploadState, Sequence[UploadRow]]
    languages: Sequence[Language]
    """Most audio first."""
    measures: Measures
    bounds: Bounds
    settings: Sequence[Setting]

    @property
    def parent(self) -> Version | None:
        """The version before."""
        return self.history[-2] if len(self.history) > 1 else None

    @property
    def kept(self) -> Seconds:
        return self.outcomes[Outcome.KEPT]

    @property
    def utterances(self) -> int:
        return len(self.measures.seconds)


def meaning(reason: str) -> str:
    """The line that explains a reason; "" for none, and for one of an older program."""
    return Reason(reason).meaning if reason in set(Reason) else ""
