"""Records of uploads and rows of the stages' outputs: small, frozen, never half-valid.

Positions are samples at 32 kHz in the decoded upload, half open [start, stop). `upload` is always the sha256 (hex) of
the upload's bytes. A segment is named by (upload, index). The order of the fields is that of the stored columns.
"""

from dataclasses import dataclass, field

from voicemill.storage.outcomes import LostStretch, Outcome
from voicemill.storage.units import Bits, Decibels, Frames, Hertz, Lufs, Samples, Seconds


@dataclass(frozen=True)
class Turn:
    """A stretch in which one person speaks."""

    start: Samples
    stop: Samples
    voice: str
    """Name of the voice within its recording; "" = several speak at once."""


@dataclass(frozen=True)
class Upload:
    """One audio file of the inbox, as `scan` read it."""

    sha256: str
    speaker: str
    path: str
    """Relative to the inbox, forward slashes."""
    size: int
    """Bytes."""
    language: str = ""
    """ISO 639-1 code, lower case; "" = unknown."""
    text: str = ""
    """Transcript from the inbox; "" = none."""
    consent: str = ""
    """Record that allows the use; "" = none."""
    codec: str = ""
    rate: int = 0
    """Sample rate of the file, Hz."""
    channels: int = 0
    seconds: Seconds = 0.0
    """Duration as the header states it, or an estimate from the size; `decode` counts the exact one."""
    mixed: bool = False
    """Several people speak in it, as its metadata or an RTTM file beside it states."""
    turns: tuple[Turn, ...] = ()
    """Turns of the RTTM file beside it, by time; they may overlap. () = none came with it."""


@dataclass(frozen=True)
class Batch:
    """Uploads prepared together; a batch is formed once and keeps its members."""

    id: str
    number: int
    """Number in order of forming, from 1. Of two uploads with equal samples the one in the lower batch is kept."""
    uploads: tuple[Upload, ...]

    @property
    def seconds(self) -> Seconds:
        """Duration of all uploads, by their headers."""
        return sum(upload.seconds for upload in self.uploads)


@dataclass(frozen=True)
class Decoded:
    """One upload after `decode`."""

    upload: str
    samples: Samples
    """Length at 32 kHz, lost stretches included; for a corrupt upload, up to the damage."""
    pcm: str
    """sha256 of the decoded float32 samples; "" if not decoded. Equal samples = duplicate."""
    codec: str
    rate: int
    channels: int
    outcome: Outcome = Outcome.KEPT
    """KEPT = decoded; CORRUPT; FILTERED (over a limit)."""
    reason: str = ""
    """`Reason`; of a decoded upload: TRUNCATED or DAMAGED where a part of it is missing."""
    detail: str = ""
    """Message of the decoder; of a decoded upload: what its header, packets and size disagree on, and its treatment."""
    lost: tuple[LostStretch, ...] = ()
    """Stretches that could not be decoded, in order."""
    mix: str = ""
    """What its channels became; "" = their mean."""
    offset: float = 0.0
    """Constant offset that was subtracted; 1.0 is full scale."""
    high_pass: bool = False
    """Whether a slow drift was removed."""
    gain_db: Decibels = 0.0
    """Gain over the samples of the file, where they were very quiet or far beyond full scale."""
    clipped_at: tuple[int, ...] = ()
    clipped_s: tuple[Seconds, ...] = ()
    """Duration of the clipped samples in each tenth of a second of `clipped_at`: 25 = from 2.5 to 2.6 s."""
    fingerprint: bytes = b""


@dataclass(frozen=True)
class Diarised:
    """Turns of one upload in which several people speak; `diarise` has no row for any other."""

    upload: str
    source: str
    """"clustered"; "given" by an RTTM file."""
    turns: tuple[Turn, ...]
    """Turns by time, disjoint. Voices: "own" and "other" where an RTTM file names the speaker, else "1", "2", ..."""


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
    voice: str = ""
    """Voice of its turn in an upload with several; "" = none: the upload has no row of `diarise`."""


@dataclass(frozen=True)
class Denoised:
    """Row of `denoise` for one segment; its samples are in the audio of the artifact."""

    upload: str
    index: int
    snr_db: Decibels
    """Estimated on the original, before denoising."""
    denoised: bool


@dataclass(frozen=True, kw_only=True)
class Levelled:
    """Loudness of one segment before and after the gain. The stored waveform is gain * denoised."""

    upload: str
    index: int
    before: Lufs
    after: Lufs
    gain_db: Decibels
    peak_db: Decibels
    """True peak after the gain, dBTP."""
    bound: str
    """"" = target reached; "peak" = the true-peak bound limited the gain."""
    measured: str
    """"segment" or "upload": what the gain was measured on."""
    outcome: Outcome = Outcome.KEPT
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Measures of the original samples of one segment by `quality`; None = not measured."""

    upload: str
    index: int
    engine: str
    """Source of the opinions: "network", "dnsmos" or "none"."""
    sig: float | None = None
    """Opinion on the speech, 1 to 5 (DNSMOS P.835); `bak`: the background; `ovrl`: the whole."""
    bak: float | None = None
    ovrl: float | None = None
    p808: float | None = None
    """Opinion on the whole, 1 to 5 (DNSMOS P.808)."""
    snr_db: Decibels | None = None
    """Speech over everything else within the segment, dB."""
    c50_db: Decibels | None = None
    """Clarity: energy of the first 50 ms of the room's response over the rest, dB."""
    music: float | None = None
    """Probability of music, 0..1; `speech`: that there is speech."""
    speech: float | None = None


@dataclass(frozen=True, kw_only=True)
class Screened:
    """Quality scores of one segment and the outcome."""

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
    """Source of the text, or of its refusal: given, the package of the recogniser, "" = none was asked."""
    score: float | None = None
    """Mean log probability of the recogniser; None for given text."""
    reason: str = ""
    """`Reason` why there is no text; "" where there is one."""
    measure: float | None = None
    """Value that the guard named by `reason` compared with `limit`."""
    limit: float | None = None


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
    """"aligned"; "no_text"; "no_aligner" (no engine for this language: text, no times); "unplaced" (a text of several
    segments, and no aligner that could split it: no text); "failed" (text and audio do not match: see `reason`)."""
    detail: str = ""
    reason: str = ""
    """`Reason` why it failed, by the value `measure` that a rule compared with `limit`; "" for every other status."""
    measure: float | None = None
    limit: float | None = None
    fit: float | None = None
    """Lower quartile of the word scores, 0..1; `missing`: share of the segment that is spoken and not in the text;
    `worst_run`: score of the words in a row that fit worst; `phone_rate`: phones per second. None = not measured."""
    missing: float | None = None
    worst_run: float | None = None
    phone_rate: float | None = None


@dataclass(frozen=True)
class Feature:
    """One matrix of features of one segment, frames first."""

    upload: str
    index: int
    frames: Frames
    dims: int
    data: bytes = field(repr=False)
    """float16 little-endian, C order, [frames, dims]."""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """Voice of one segment: its vector as a matrix of one frame, and how it will be compared with its speaker."""

    upload: str
    index: int
    frames: Frames
    dims: int
    data: bytes = field(repr=False)
    """float16 little-endian, [1, dims]."""
    seconds: Seconds
    """Length of the segment."""
    margin: float
    """Distance under the speaker's median similarity from which it counts as another voice."""
    change: float
    """Score of the most likely change of voice within it."""
    voice: str = ""
    """`Segment.voice`."""
    outcome: Outcome = Outcome.KEPT
    reason: str = ""
    score: float | None = None
    threshold: float | None = None


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
