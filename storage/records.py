"""The records that cross module borders: small, frozen, half-valid in no state.

Positions are samples at 32 kHz in the decoded upload, half open [start, stop). `upload` is always the sha256 (hex) of
the upload's bytes. A segment is named by (upload, index).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from voicemill.storage.units import RATE, Bits, Decibels, Frames, Hertz, Lufs, Samples, Seconds


class Outcome(StrEnum):
    """What became of an interval of an upload. Those of one upload add up to its duration, to the sample."""

    KEPT = "kept"
    SILENCE = "silence"
    FILTERED = "filtered"
    FAILED = "failed"
    CORRUPT = "corrupt"


class Reason(StrEnum):
    """Why an interval was not kept. `meaning` is the line that the README and the report show."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # silence
    NO_SPEECH = "no_speech", "the voice activity detector heard no speech"
    # filtered: a rule said no
    TOO_SHORT = "too_short", "a stretch of speech under slice.min_segment_s"
    TOO_QUIET = "too_quiet", "no block of it passes the gate of the loudness meter"
    ENTROPY_LOW = "entropy_low", "mean spectral entropy under the band: tones, hum, beeps"
    ENTROPY_HIGH = "entropy_high", "mean spectral entropy above the band: noise, hiss"
    CLIPPED = "clipped", "more samples at full scale than screen.max_clipped allows"
    NOISY = "noisy", "signal-to-noise ratio under screen.min_snr_db"
    NARROWBAND = "narrowband", "effective bandwidth under screen.min_bandwidth_hz"
    NO_TEXT = "no_text", "no transcript, and shards.require_text is on"
    UNALIGNED = "unaligned", "its text could not be aligned with the audio: they do not match"
    DUPLICATE = "duplicate", "the decoded samples equal those of an earlier upload"
    OVER_LONG = "over_long", "the upload is longer than decode.max_hours"
    OVER_LARGE = "over_large", "the upload has more bytes than decode.max_gb"
    # failed: our code, a model or the machine; tried again at the next refresh
    STAGE_ERROR = "stage_error", "a stage raised an error"
    WORKER_DIED = "worker_died", "the worker process died while it worked on this upload"
    UNREADABLE = "unreadable", "the file could not be read (permission, medium, network)"
    # corrupt: the input itself
    EMPTY = "empty", "the file has no bytes"
    NOT_AUDIO = "not_audio", "no decoder recognises the bytes as audio"
    NO_SAMPLES = "no_samples", "an audio header with no samples behind it"
    TRUNCATED = "truncated", "the file ends before the length that its header states"
    DAMAGED = "damaged", "the decoder stopped at damaged data, or the samples are not finite"


class UploadState(StrEnum):
    """Where an upload stands."""

    PREPARED = "prepared"
    """Went through the stages; its ledger says what became of every second."""
    HELD = "held"
    """No consent on record: not processed."""
    DUPLICATE = "duplicate"
    """Same bytes or same decoded samples as another upload: not in the corpus twice."""
    CORRUPT = "corrupt"
    """The bytes are bad; not tried again."""
    FAILED = "failed"
    """Some of it failed in our code or on this machine; tried again at the next refresh."""
    REFUSED = "refused"
    """Its path is unsafe (a link out of the inbox, a name with path parts), or its owner was forgotten."""


@dataclass(frozen=True)
class Upload:
    """One audio file of the inbox, as `scan` found it."""

    sha256: str
    speaker: str
    path: str
    """Relative to the inbox, forward slashes."""
    size: int
    """Bytes."""
    language: str = ""
    """ISO 639-1 code, lower case; "" = unknown."""
    text: str = ""
    """The transcript that came along; "" = none."""
    consent: str = ""
    """The record that allows the use; "" = none."""
    codec: str = ""
    rate: int = 0
    """Hz, of the file."""
    channels: int = 0
    seconds: Seconds = 0.0
    """As the header states it, or an estimate from the size. The truth is what `decode` counts."""


@dataclass(frozen=True)
class Batch:
    """Uploads prepared together: formed once, never formed again."""

    id: str
    number: int
    """Order of forming, from 1. Of two uploads with the same samples the one in the lower batch stays."""
    uploads: tuple[Upload, ...]

    @property
    def seconds(self) -> Seconds:
        """Sum over the uploads, by their headers."""
        return sum(upload.seconds for upload in self.uploads)


@dataclass(frozen=True)
class Interval:
    """One row of the ledger."""

    upload: str
    start: Samples
    stop: Samples
    outcome: Outcome
    reason: str = ""
    """A `Reason`, or "" when kept."""
    stage: str = ""
    """The stage that decided."""
    score: float | None = None
    threshold: float | None = None
    detail: str = ""
    """The error message of a failure, the decoder's words of a corrupt file."""

    @property
    def seconds(self) -> Seconds:
        return (self.stop - self.start) / RATE


@dataclass(frozen=True)
class Failure:
    """A stage could not do its work on one upload (index -1) or one segment. Tried again at the next refresh."""

    upload: str
    error: str
    index: int = -1
    reason: Reason = Reason.STAGE_ERROR


# -- rows of the stages' outputs, in the order of the DAG


@dataclass(frozen=True)
class Decoded:
    """One upload after `decode`."""

    upload: str
    samples: Samples
    """Length at 32 kHz. For a corrupt upload: what came out before the damage."""
    pcm: str
    """sha256 of the decoded float32 samples; "" if not decoded. Equal samples = duplicate."""
    codec: str
    rate: int
    channels: int
    outcome: Outcome = Outcome.KEPT
    """KEPT = decoded; CORRUPT; FILTERED (over a limit)."""
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Segment:
    """One interval of an upload after `slice`. The rows of one upload tile [0, samples)."""

    upload: str
    index: int
    """0, 1, ... over the *kept* intervals of an upload; -1 for the others."""
    start: Samples
    stop: Samples
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Denoised:
    """What `denoise` did to one segment. Its samples follow in the audio of the artifact."""

    upload: str
    index: int
    snr_db: Decibels
    """Estimated on the original, before denoising."""
    denoised: bool


@dataclass(frozen=True)
class Levelled:
    """What `loudness` measured and decided for one segment. The stored waveform is gain * denoised."""

    upload: str
    index: int
    before: Lufs
    after: Lufs
    gain_db: Decibels
    peak_db: Decibels
    """True peak after the gain, dBTP."""
    bound: str
    """"" = target reached; "peak" = the true-peak bound held the gain back."""
    measured: str
    """"segment" or "upload": whose measure the gain comes from."""
    outcome: Outcome = Outcome.KEPT
    reason: str = ""


@dataclass(frozen=True)
class Screened:
    """Scores of one segment and the verdict."""

    upload: str
    index: int
    entropy: Bits
    snr_db: Decibels
    clipped: float
    """Share of samples at full scale in the original."""
    bandwidth_hz: Hertz
    outcome: Outcome
    reason: str = ""
    score: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Transcript:
    """Text of one segment (index >= 0), or of a whole upload (index -1, placed on its segments by `align`)."""

    upload: str
    index: int
    text: str
    language: str
    engine: str
    score: float | None = None
    """Mean log probability of the recogniser; None for given text."""


@dataclass(frozen=True)
class Word:
    """One aligned word."""

    text: str
    start: Samples
    stop: Samples
    score: float
    """Mean probability of its frames, 0..1; for pocketsphinx the posterior of the word."""


@dataclass(frozen=True)
class Aligned:
    """Text and word times of one segment."""

    upload: str
    index: int
    text: str
    language: str
    words: tuple[Word, ...]
    status: str
    """"aligned"; "no_text"; "no_aligner" (no engine for this language: text as given, no times);
    "unplaced" (the upload's text could not be split over its segments without an aligner: no text);
    "failed" (text and audio do not match)."""
    detail: str = ""


@dataclass(frozen=True)
class Feature:
    """One matrix of features of one segment, frames first."""

    upload: str
    index: int
    frames: Frames
    dims: int
    data: bytes = field(repr=False)
    """float16 little-endian, C order, [frames, dims]."""


@dataclass(frozen=True)
class ShardFile:
    """One Parquet file that `shards` wrote: one table, one speaker, one batch. Not part of a table until publish."""

    table: str
    """"utterances", "ledger", "features/mel-1a2b3c4d", ..."""
    speaker: str
    path: str
    """Relative to the table's folder, as written to the Delta log. The file's name is the shard's key."""
    size: int
    """Bytes."""
    rows: int
    upload: str = ""
    """Always "": a shard belongs to a batch, not to one upload."""


# -- rows of the tables of the store


@dataclass(frozen=True)
class UploadRow:
    """Table `uploads`: one row for each file that the inbox held at the refresh."""

    sha256: str
    speaker: str
    path: str
    size: int
    codec: str
    rate: int
    channels: int
    samples: Samples
    """At 32 kHz, as decoded; 0 where nothing was decoded."""
    seconds: Seconds
    """samples / 32000; for uploads that were not decoded, what the header states."""
    language: str
    consent: str
    state: UploadState
    reason: str
    detail: str
    batch: str
    """"" for uploads that never entered one (held, refused, same bytes as another)."""
    batch_number: int
    pcm: str


@dataclass(frozen=True)
class Utterance:
    """Table `utterances`: one kept segment with its audio, text and measures."""

    id: str
    """First 16 hex of the upload's sha256, "-", index in four digits."""
    upload: str
    speaker: str
    path: str
    index: int
    start: Samples
    stop: Samples
    seconds: Seconds
    language: str
    text: str
    words: tuple[Word, ...]
    """Times in the upload, samples at 32 kHz."""
    alignment: str
    """`Aligned.status`."""
    engine: str
    """Where the text comes from: given, whisperx, or ""."""
    audio: bytes = field(repr=False)
    """FLAC, 16 bit, mono, 32 kHz: denoised and levelled."""
    snr_db: Decibels
    denoised: bool
    loudness_before: Lufs
    loudness_after: Lufs
    gain_db: Decibels
    peak_db: Decibels
    bound: str
    entropy: Bits
    clipped: float
    bandwidth_hz: Hertz
    f0_median: Hertz
    """Over voiced frames; 0 where none is."""
    voiced: float
    """Share of voiced frames."""
    recipe: str


@dataclass(frozen=True)
class LedgerRow:
    """Table `ledger`: one interval of an upload, and whose it is."""

    upload: str
    speaker: str
    path: str
    start: Samples
    stop: Samples
    outcome: Outcome
    reason: str
    stage: str
    score: float | None
    threshold: float | None
    detail: str


@dataclass(frozen=True)
class FeatureRow:
    """Tables `features/<name>-<id>`: one matrix, in the order of the utterance shard of the same key."""

    id: str
    frames: Frames
    dims: int
    data: bytes = field(repr=False)
    """float16 little-endian, C order, [frames, dims]."""
