"""Content of a report: records of numbers and arrays, and the meanings of states and reasons.

`flows.report.collect` fills the records from the tables of one corpus version; `flows.report.growth` compares versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.text_coverage import TextGap
from voicemill.storage.corpus.versions import Version
from voicemill.storage.outcomes import Outcome, Reason, UploadState
from voicemill.storage.units import Bits, Decibels, Hertz, Lufs, Samples, Seconds, to_seconds

Values = NDArray[np.float64]
"""float64 [values]."""

MEANING: Mapping[UploadState, str] = {
    UploadState.PREPARED: "processed by all stages; the ledger accounts for every second",
    UploadState.HELD: "no consent on record: not processed",
    UploadState.DUPLICATE: "same bytes, samples or recording as another upload: counted once",
    UploadState.CORRUPT: "the file is damaged; not retried",
    UploadState.FAILED: "our code, a model or the machine failed; the next refresh retries it",
    UploadState.REFUSED: "a link or name that leads out of the inbox, or a forgotten speaker",
}
"""Meaning of a state, shown where the reason does not say more."""


@dataclass(frozen=True)
class Part:
    """Audio with one outcome, decided by one stage for one reason."""

    outcome: Outcome
    reason: str
    stage: str
    samples: Samples
    uploads: int

    @property
    def seconds(self) -> Seconds:
        """Duration."""
        return to_seconds(self.samples)

    @property
    def meaning(self) -> str:
        """Explanation of the reason."""
        return meaning(self.reason)


@dataclass(frozen=True)
class UploadGroup:
    """Uploads with one state and reason."""

    state: UploadState
    reason: str
    uploads: int
    seconds: Seconds

    @property
    def meaning(self) -> str:
        """Explanation of the reason, or else of the state."""
        return meaning(self.reason) or MEANING[self.state]


@dataclass(frozen=True)
class Speaker:
    """Totals of one speaker."""

    name: str
    uploads: int
    seconds: Seconds
    """Seconds covered by the ledger; held uploads are not included."""
    kept: Seconds
    """Seconds of utterances."""
    utterances: int
    languages: tuple[str, ...]
    """Languages of the utterances, the one with most audio first."""
    f0_median: Hertz
    """Median F0 over the utterances; 0 = none is voiced."""
    with_text: int
    """Utterances with a text."""
    aligned: int
    """Utterances with word times."""


@dataclass(frozen=True)
class HeldSpeaker:
    """Uploads of a speaker without consent on record."""

    speaker: str
    uploads: int
    seconds: Seconds
    """Duration according to the headers."""
    command: str
    """Command that grants consent."""


@dataclass(frozen=True)
class Language:
    """Kept audio of one language; "" = unknown."""

    code: str
    seconds: Seconds
    utterances: int
    speakers: int
    with_text: int
    """Utterances with a text."""
    aligned: int
    """Utterances with word times."""


@dataclass(frozen=True)
class Setting:
    """One setting of the recipe."""

    section: str
    name: str
    value: Any
    before: Any
    """Value in the previous version; equal to `value` if unchanged."""

    @property
    def changed(self) -> bool:
        """Whether it differs from the previous version."""
        return bool(self.value != self.before)


@dataclass(frozen=True)
class Measures:
    """Measures of the utterances, float64 [utterances], and of filtered segments where the field says so."""

    seconds: Values
    before: Values
    """Loudness before normalisation, LUFS."""
    after: Values
    """Loudness after normalisation, LUFS."""
    snr_db: Values
    """Signal-to-noise ratio before denoising, dB."""
    entropy: Values
    """Mean spectral entropy of the active frames, bits."""
    f0_by_speaker: Mapping[str, Values]
    """Speaker -> median F0, Hz, float64 [utterances with voiced frames]."""
    entropy_low: Values
    """Scores of segments filtered as `entropy_low`."""
    entropy_high: Values
    noisy: Values
    """SNR of segments filtered as `noisy`."""
    peak_bound: int
    """Number of utterances whose gain the true-peak limit reduced."""
    denoised: int
    with_text: int
    aligned: int


@dataclass(frozen=True)
class Bounds:
    """Settings that are drawn as lines in the plots; None where the recipe has no such setting."""

    target_lufs: Lufs | None
    min_entropy: Bits | None
    max_entropy: Bits | None
    min_snr_db: Decibels | None
    denoise_snr_db: Decibels | None
    min_seconds: Seconds | None
    max_seconds: Seconds | None


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report shows."""

    store: str
    version: Version
    history: Sequence[Version]
    """Versions up to this one, oldest first."""
    seconds: Seconds
    """Seconds covered by the ledger."""
    outcomes: Mapping[Outcome, Seconds]
    parts: Sequence[Part]
    """Longest first within an outcome."""
    states: Sequence[UploadGroup]
    speakers: Sequence[Speaker]
    """Most kept audio first."""
    held: Sequence[HeldSpeaker]
    uploads: Mapping[UploadState, Sequence[UploadRow]]
    languages: Sequence[Language]
    """Most audio first."""
    gaps: Sequence[TextGap]
    """Utterances without a text; first those of speakers who have none."""
    measures: Measures
    bounds: Bounds
    settings: Sequence[Setting]

    @property
    def parent(self) -> Version | None:
        """The previous version; None for the first."""
        return self.history[-2] if len(self.history) > 1 else None

    @property
    def kept(self) -> Seconds:
        """Seconds of utterances."""
        return self.outcomes[Outcome.KEPT]

    @property
    def utterances(self) -> int:
        """Number of utterances."""
        return len(self.measures.seconds)


def meaning(reason: str) -> str:
    """Explanation of a reason; "" for none, and for a reason of an older version of voicemill."""
    return Reason(reason).meaning if reason in set(Reason) else ""
