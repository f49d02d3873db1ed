"""Outcomes of intervals of an upload, the reasons for them, and the states of uploads.

Positions are samples at 32 kHz in the decoded upload, half open [start, stop). `upload` is the sha256 (hex) of the
upload's bytes.
"""

from dataclasses import dataclass
from enum import StrEnum

from voicemill.storage.units import RATE, Samples, Seconds


class Outcome(StrEnum):
    """Outcome of an interval of an upload. The intervals of one upload add up to its duration, to the sample."""

    KEPT = "kept"
    SILENCE = "silence"
    FILTERED = "filtered"
    FAILED = "failed"
    CORRUPT = "corrupt"


class Reason(StrEnum):
    """Reason why an interval was not kept, or is kept without a text. `meaning` is the line that the README and the
    report show."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # silence
    NO_SPEECH = "no_speech", "the voice activity detector found no speech"
    # filtered: a rule said no
    TOO_SHORT = "too_short", "a stretch of speech under slice.min_segment_s"
    TOO_QUIET = "too_quiet", "no block of it passes the gate of the loudness meter"
    ENTROPY_LOW = "entropy_low", "mean spectral entropy under the band: tones, hum, beeps"
    ENTROPY_HIGH = "entropy_high", "mean spectral entropy above the band: noise, hiss"
    CLIPPED = "clipped", "more samples at full scale than screen.max_clipped allows"
    NOISY = "noisy", "signal-to-noise ratio under screen.min_snr_db"
    NOT_SPEECH = "not_speech", "probability of speech under screen.min_speech: music or noise without a voice"
    MUSIC = "music", "probability of music above screen.max_music: a bed under the voice, or music alone"
    REVERBERANT = "reverberant", "clarity (C50) under screen.min_c50_db: a large room, a distant microphone"
    NARROWBAND = "narrowband", "effective bandwidth under screen.min_bandwidth_hz"
    NO_TEXT = "no_text", "no transcript, and shards.require_text is on"
    UNALIGNED = "unaligned", "its text could not be aligned with the audio: they do not match"
    TEXT_INCOMPLETE = "text_incomplete", "its text fits, but leaves out words that are spoken"
    TEXT_SURPLUS = "text_surplus", "its text fits in part, and has words that are not spoken"
    TWO_SPEAKERS = "two_speakers", "the voice changes within the segment"
    OTHER_SPEAKER = "other_speaker", "its voice is not that of the speaker's other recordings"
    UNKNOWN_VOICE = (
        "unknown_voice",
        "one of several voices in the upload, and whose it is cannot be told from the speaker's other recordings",
    )
    OVERLAPPED_SPEECH = "overlapped_speech", "several people speak at once"
    UNKNOWN_SPEAKER = "unknown_speaker", "held: the row or the table that names its speaker cannot be read"
    DUPLICATE = "duplicate", "the decoded samples equal those of an earlier upload"
    NEAR_DUPLICATE = "near_duplicate", "an earlier upload has this recording, encoded, levelled or cut in another way"
    OVER_LONG = "over_long", "the upload is longer than decode.max_hours"
    OVER_LARGE = "over_large", "the upload has more bytes than decode.max_gb"
    # kept, but without a text
    NO_TRANSCRIPT = "no_transcript", "kept without text: no transcript came with it, and transcribe.engine is given"
    NO_RECOGNISER = "no_recogniser", "kept without text: no transcript, and no recogniser for its language here"
    UNKNOWN_LANGUAGE = (
        "unknown_language",
        "kept without text: none stated, and it does not sound like the recogniser's",
    )
    OTHER_LANGUAGE = "other_language", "kept without text: stated as English, but it sounds like another language"
    NO_WORDS = "no_words", "kept without text: no word was recognised in it"
    DOUBTFUL_SPEECH = "doubtful_speech", "kept without text: probability of no speech over transcribe.max_no_speech"
    DOUBTFUL_TEXT = "doubtful_text", "kept without text: mean log probability under transcribe.min_score"
    REPEATED_TEXT = "repeated_text", "kept without text: the recogniser repeats itself"
    TEXT_TOO_SHORT = "text_too_short", "kept without text: fewer characters per second than transcribe.min_chars_per_s"
    TEXT_TOO_LONG = "text_too_long", "kept without text: more characters per second than transcribe.max_chars_per_s"
    UNFIT_TEXT = "unfit_text", "kept without text: the aligner does not find the recognised text in the audio"
    UNPLACED_TEXT = "unplaced_text", "kept without text: the upload's text could not be split over its segments"
    # failed: our code, a model or the machine; retried at the next refresh
    STAGE_ERROR = "stage_error", "a stage raised an error"
    WORKER_DIED = "worker_died", "the worker process died while it worked on this upload"
    UNREADABLE = "unreadable", "the file could not be read (permission, medium, network)"
    # corrupt: the input itself
    EMPTY = "empty", "the file has no bytes"
    NOT_AUDIO = "not_audio", "no decoder recognises the bytes as audio"
    NO_SAMPLES = "no_samples", "an audio header with no samples behind it"
    TRUNCATED = "truncated", "the file ends before the length that its header states"
    TOO_SLOW = "too_slow", "its container is made of so many parts that reading it takes longer than it plays"
    DAMAGED = "damaged", "the decoder stopped at damaged data, or the samples are not finite"


class UploadState(StrEnum):
    """State of an upload in the corpus."""

    PREPARED = "prepared"
    """The stages ran; the ledger accounts for every second."""
    HELD = "held"
    """No consent on record: not processed."""
    DUPLICATE = "duplicate"
    """Same bytes or same decoded samples as another upload, which is in the corpus."""
    CORRUPT = "corrupt"
    """The bytes are damaged; not retried."""
    FAILED = "failed"
    """A part failed in our code or on this machine; retried at the next refresh."""
    REFUSED = "refused"
    """The path is unsafe (a link out of the inbox, a name with path parts), or the speaker was forgotten."""


@dataclass(frozen=True, kw_only=True)
class LedgerInterval:
    """One row of the ledger."""

    upload: str
    start: Samples
    stop: Samples
    outcome: Outcome
    reason: str = ""
    """A `Reason`; "" when kept with its text."""
    stage: str = ""
    """Stage that decided the outcome, or that found no text for it."""
    score: float | None = None
    threshold: float | None = None
    detail: str = ""
    """Error message of a failure, or message of the decoder for a corrupt file."""

    @property
    def seconds(self) -> Seconds:
        return (self.stop - self.start) / RATE


@dataclass(frozen=True)
class LostStretch:
    """Samples [start, stop) of an upload that could not be decoded; zeros stand in their place."""

    start: Samples
    stop: Samples
    detail: str


@dataclass(frozen=True)
class Repeat:
    """Stretch of an upload that is the recording of an earlier one: encoded, levelled or cut in another way."""

    start: Samples
    stop: Samples
    upload: str
    """sha256 of the earlier upload."""
    at: Samples
    """Where the stretch begins in the earlier upload."""


@dataclass(frozen=True)
class Failure:
    """Failure of a stage on one upload (index -1) or one segment; retried at the next refresh."""

    upload: str
    error: str
    index: int = -1
    reason: Reason = Reason.STAGE_ERROR
