"""diarise: who speaks when, in uploads with several people.

Which: uploads marked as mixed (metadata column `mixed`, or turns in an RTTM file beside them), and long ones in whose
speech more than one voice is found. `slice` cuts at the changes of voice, and `shards` keeps the voice that is the
speaker's: all others get `other_speaker`, or `unknown_voice` where the speaker has too few other recordings to tell.
Method: the turns of the RTTM file, else voice activity (that of `slice` at its defaults) and
`model/speaker/diarisation`. Where several speak at once by the RTTM file, the stretch is nobody's; the clustering does
not find overlaps.
Cost: nothing for short unmarked uploads; a long one is searched at 680 times real time on one core with bfloat16, and
the turns of one with several voices are found at 230. Errors: `tests/bench/diarise.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

from pydantic import Field

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.audio.spans import Span
from voicemill.model.audio.vad import Engine, hop, silero_digest, speech_probability
from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.turns import disjoint_turns, widen_turns
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Decoded, Diarised, Turn, Upload
from voicemill.storage.units import Samples, Seconds, to_samples
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded
from voicemill.tasks.contract.voices import Precision, voice_encoder
from voicemill.tasks.stages import slice as slice_

VERSION = 1

REACH: Seconds = 0.25
"""Speech so close to a turn of an RTTM file is part of it: the usual tolerance of such files."""


class Settings(StageSettings):
    """Uploads in which voices are told apart."""

    uploads: Literal["found", "marked", "none"] = "found"
    """found: those marked as mixed, and long ones with several voices; marked: only the former; none: no upload."""
    precision: Precision = "auto"
    """Precision of the speaker encoder; auto: bfloat16 where the CPU multiplies it, else float32."""
    least_s: Seconds = Field(60.0, ge=0)
    """Seconds from which an unmarked upload is searched for several voices. Shorter ones hold few segments, each of
    which `speaker` checks."""


def speech_of(blocks: Iterable[Wave], samples: Samples, engine: Engine = "cascade") -> list[Span]:
    """Spans of speech of one recording, float32 blocks at 32 kHz, as `slice` finds them with this engine."""
    settings = slice_.Settings(engine=engine)
    probability = speech_probability(blocks, settings.engine, settings.webrtc_mode, settings.reach_s, settings.doubt)
    return slice_.speech_spans(probability, hop(settings.engine), samples, settings)[1]


def given_turns(upload: Upload, samples: Samples) -> tuple[Turn, ...]:
    """Turns of the RTTM file of an upload: where it names the speaker, "own" and "other", else numbers."""
    turns = disjoint_turns(upload.turns, samples)
    names = list(dict.fromkeys(turn.voice for turn in turns if turn.voice))
    if upload.speaker in names:
        names_to = {name: "own" if name == upload.speaker else "other" for name in names}
    else:
        names_to = {name: str(number) for number, name in enumerate(names, 1)}
    named = [Turn(turn.start, turn.stop, names_to.get(turn.voice, "")) for turn in turns]
    return widen_turns(named, samples, to_samples(REACH))


def run(inputs: Inputs, settings: Settings) -> Iterator[Diarised | Failure]:
    """One row for each upload with several voices."""
    uploads = {upload.sha256: upload for upload in inputs.batch.uploads}
    rows = [row for row in inputs.rows("decode", Decoded) if row.outcome is Outcome.KEPT]
    for row in rows:
        upload = uploads[row.upload]
        marked = upload.mixed or bool(upload.turns)
        long = settings.uploads == "found" and SPEAKER.is_installed and row.samples >= to_samples(settings.least_s)
        if settings.uploads != "none" and (marked or long):
            yield from guarded(row.upload, partial(_diarise, inputs, upload, row.samples, settings.precision))


def _diarise(inputs: Inputs, upload: Upload, samples: Samples, precision: Precision) -> list[Diarised]:
    if upload.turns:
        return [Diarised(upload.sha256, "given", given_turns(upload, samples))]
    if not SPEAKER.is_installed:
        return [Diarised(upload.sha256, "clustered", ())]
    from voicemill.model.speaker.diarisation import diarise, has_several_voices

    encoder = voice_encoder(inputs, precision)
    waves = inputs.waves("decode")

    def read(span: Span) -> Wave:
        return to_16_khz(waves.read(upload.sha256, -1, *span))

    def blocks() -> Iterable[Wave]:
        return waves.stream(upload.sha256)

    # noise in the proposals of WebRTC may look like a voice; that costs the second look, which judges speech alone
    if not upload.mixed and not has_several_voices(encoder, speech_of(blocks(), samples, "webrtc"), read):
        return []
    turns = diarise(encoder, speech_of(blocks(), samples), read)
    if not upload.mixed and len({turn.voice for turn in turns}) < 2:
        return []
    return [Diarised(upload.sha256, "clustered", widen_turns(turns, samples, samples))]


def models(settings: Settings) -> Mapping[str, str]:
    """Digests of the encoder and of the detector of speech, where these settings use them here."""
    used = settings.uploads != "none" and SPEAKER.is_installed
    return {"diarise.voices": SPEAKER.digest, "diarise.speech": silero_digest()} if used else {}


def _metadata(batch: Batch) -> list[Any]:
    """Mark, speaker and turns of the marked uploads."""
    return [
        [upload.sha256, upload.speaker, [[turn.start, turn.stop, turn.voice] for turn in upload.turns]]
        for upload in batch.uploads
        if upload.mixed or upload.turns
    ]


STAGE = Stage(
    name="diarise",
    version=VERSION,
    settings=Settings,
    needs=("decode",),
    row=Diarised,
    run=run,
    metadata=_metadata,
    models=models,
)
