"""Rows of the tables of the store, one record each; the order of the fields is that of the stored columns."""

from dataclasses import dataclass, field

from voicemill.storage.outcomes import Outcome, Repeat, UploadState
from voicemill.storage.records import Word
from voicemill.storage.units import Bits, Decibels, Frames, Hertz, Lufs, Samples, Seconds


@dataclass(frozen=True, kw_only=True)
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
    """Decoded samples at 32 kHz; 0 where nothing was decoded."""
    seconds: Seconds
    """samples / 32000; for uploads that were not decoded, the duration that the header states."""
    language: str
    consent: str
    state: UploadState
    reason: str
    detail: str
    batch: str
    """Id of the batch; "" for uploads in none (held, refused, same bytes as another)."""
    batch_number: int
    pcm: str
    repeats: tuple[Repeat, ...] | None = None
    """Stretches that earlier uploads have; null in rows of older versions."""


@dataclass(frozen=True, kw_only=True)
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
    """Origin of the text: given, faster-whisper, whisperx, or ""."""
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
    """Median over voiced frames; 0 without any."""
    voiced: float
    """Share of voiced frames."""
    recipe: str
    sig: float | None = None
    """Opinion on the speech, 1 to 5; this and the next seven as in `Quality`."""
    bak: float | None = None
    ovrl: float | None = None
    p808: float | None = None
    snr_segment_db: Decibels | None = None
    """SNR measured on the segment itself; `snr_db` is over the noise of its whole upload."""
    c50_db: Decibels | None = None
    music: float | None = None
    speech: float | None = None
    tier: str | None = None
    """Tier of quality: "A", "B" or "C"; None = not measured."""
    text_score: float | None = None
    """Mean log probability of a recognised text; null for given text."""
    text_reason: str | None = None
    """`Reason` why there is no text; "" where there is one; null in rows of older versions."""
    similarity: float | None = None
    """Cosine of its voice to the speaker's reference, of which it is no part; None = not compared."""
    voice_change: float | None = None
    """Score of the most likely change of voice within it; None = not measured."""
    text_fit: float | None = None
    """How the text fits: this and the next three as in `Aligned`; null in rows of older versions."""
    text_missing: float | None = None
    text_worst_run: float | None = None
    phone_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """Table `ledger`: one interval of an upload, with its speaker."""

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
class FingerprintRow:
    """Table `fingerprints`: the audio fingerprint of an upload."""

    upload: str
    data: bytes = field(repr=False)
    """As `model/audio/fingerprint.py` writes it."""


@dataclass(frozen=True)
class FeatureRow:
    """Tables `features/<name>-<id>`: one matrix, in the order of the utterance shard of the same key."""

    id: str
    frames: Frames
    dims: int
    data: bytes = field(repr=False)
    """float16 little-endian, C order, [frames, dims]."""
