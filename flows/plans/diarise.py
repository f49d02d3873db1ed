"""Voices of recordings with several people: their turns as RTTM, and a recording of its own for each voice.

Turns come from the RTTM file beside a recording where there is one, so that corrected ones can be used; else from
clustering. A voice is that of an enrolled speaker where the store's references say so, with the bounds by which uploads
under other names are found (`tasks/intake/known_voices.py`); any other gets a folder of its own, and with it its own
consent and erasure. Stretches in which several people speak at once go to nobody.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.audio.spans import Span
from voicemill.model.device import place
from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.comparison import Reference, unit
from voicemill.model.speaker.diarisation import SIDE_BY_SIDE, diarise, embed
from voicemill.model.speaker.encoder import Encoder
from voicemill.model.speaker.turns import disjoint_turns
from voicemill.storage.audio.reading import open_audio, read_samples
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.corpus.flac import flac
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import AudioError, ConfigError
from voicemill.storage.files import whole_file
from voicemill.storage.inbox.arrivals import bring_uploads
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.inbox.layouts import decode_text
from voicemill.storage.inbox.transcripts.rttm import RTTM, read_rttm, turns_of, write_rttm
from voicemill.storage.records import Turn
from voicemill.storage.store import Store
from voicemill.storage.units import RATE, to_samples, to_seconds
from voicemill.tasks.contract.voices import WEIGHTS
from voicemill.tasks.intake.known_voices import SpokenSegment, match_voices, references
from voicemill.tasks.stages.diarise import speech_of

PAUSE = 0.5
"""Seconds of silence between the turns of a voice in its recording: more than `slice` joins over."""


@dataclass(frozen=True, kw_only=True)
class RecordedVoice:
    """One voice of one recording."""

    recording: str
    voice: str
    turns: int
    seconds: float
    """Speech in turns without other voices."""
    speaker: str = ""
    """Enrolled speaker whose voice it is; "" = none that the store knows."""
    path: str = ""
    """Its recording in the inbox; "" = not written."""
    outcome: str = ""
    """`Arrival.outcome`."""

    def as_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def known_references(store: Store) -> dict[str, Reference]:
    """Speaker -> reference, for every speaker of the latest corpus version with enough speech."""
    corpus = CorpusVersion.open(store)
    table = corpus.version.features.get("speaker", "")
    return references(store, {file.speaker for file in corpus.shards(table)}, table) if table else {}


def diarise_recordings(
    recordings: Iterable[Path],
    *,
    rttm: Path | None = None,
    inbox: Inbox | None = None,
    known: Mapping[str, Reference] | None = None,
) -> Iterator[RecordedVoice]:
    """Yield the voices of each recording, the longest first; write its turns and a recording of each voice.

    Args:
        rttm: folder for `<recording>.rttm`.
        inbox: where the voices become recordings, as `<recording>-<voice>/<recording>.flac` or in the folder of the
            enrolled speaker.
        known: references of enrolled speakers.

    Raises:
        ModelMissing: the encoder is needed and not installed.
        ConfigError: a recording cannot be read, an RTTM file is malformed, or another one would be replaced.
    """
    for recording in recordings:
        with _decoded(recording) as wave:
            turns = _turns(recording, wave)
            if rttm is not None:
                _write_turns(rttm / f"{recording.stem}{RTTM}", turns)
            apart = disjoint_turns(turns, len(wave))
            names = dict.fromkeys(turn.voice for turn in apart if turn.voice)
            own = {name: [Span(turn.start, turn.stop) for turn in apart if turn.voice == name] for name in names}
            for voice, spans in sorted(own.items(), key=lambda item: -_samples(item[1])):
                speaker = _speaker(wave, spans, known or {})
                path, outcome = _bring(recording, voice, speaker, wave, spans, inbox) if inbox else ("", "")
                yield RecordedVoice(
                    recording=str(recording),
                    voice=voice,
                    turns=len(spans),
                    seconds=round(to_seconds(_samples(spans)), 2),
                    speaker=speaker,
                    path=path,
                    outcome=outcome,
                )


@cache
def _encoder() -> Encoder:
    return Encoder.load(SPEAKER.path(WEIGHTS), place("cpu").dtype)


@contextmanager
def _decoded(recording: Path) -> Iterator[Wave]:
    """float32 [samples], 32 kHz, of a whole recording, in a file that is removed at the end."""
    with tempfile.TemporaryFile() as file:
        try:
            with open_audio(recording) as source:
                for block in read_samples(source):
                    file.write(np.ascontiguousarray(block, "<f4").data)
        except (AudioError, OSError) as error:
            raise ConfigError(f"{recording} cannot be read: {error}") from error
        samples = file.tell() // 4
        file.flush()
        yield np.asarray(np.memmap(file, "<f4", "r", shape=(samples,))) if samples else np.zeros(0, np.float32)


def _turns(recording: Path, wave: Wave) -> tuple[Turn, ...]:
    """Turns by the RTTM file beside the recording, else by clustering."""
    beside = recording.with_suffix(RTTM)
    if beside.is_file():
        return _read_turns(beside, recording.stem)
    spans = speech_of((wave[at : at + 60 * RATE] for at in range(0, len(wave), 60 * RATE)), len(wave))
    return tuple(diarise(_encoder(), spans, lambda span: to_16_khz(wave[slice(*span)])))


def _read_turns(path: Path, stem: str) -> tuple[Turn, ...]:
    try:
        text = decode_text(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return turns_of(read_rttm(text, str(path)), stem, str(path))


def _write_turns(path: Path, turns: tuple[Turn, ...]) -> None:
    """Write an RTTM file; one with the same turns stays as it is, and one with others is never replaced."""
    if path.exists():
        if _read_turns(path, path.stem) != turns:
            raise ConfigError(f"{path} exists with other turns: remove it, or give another folder by --rttm")
        return
    with whole_file(path) as temporary:
        temporary.write_text(write_rttm(path.stem, turns), encoding="utf-8")


def _samples(spans: Iterable[Span]) -> int:
    return sum(span.stop - span.start for span in spans)


def _speaker(wave: Wave, spans: list[Span], known: Mapping[str, Reference]) -> str:
    """Enrolled speaker whose voice this is; "" = none."""
    if not known:
        return ""
    windows = embed(_encoder(), spans, lambda span: to_16_khz(wave[slice(*span)]), SIDE_BY_SIDE)
    voice = SpokenSegment("voice", to_seconds(_samples(spans)), unit(windows.vectors.mean(0)))
    return next((match.speaker for match in match_voices(known, [voice])), "")


def _bring(recording: Path, voice: str, speaker: str, wave: Wave, spans: list[Span], inbox: Inbox) -> tuple[str, str]:
    """Path in the inbox and outcome of the recording of one voice."""
    pause = np.zeros(to_samples(PAUSE), np.float32)
    joined = np.concatenate([part for span in spans for part in (wave[slice(*span)], pause)][:-1])
    name = f"{recording.stem}-{voice}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name if speaker else recording.stem}.flac"
        file.write_bytes(flac(joined))
        arrival = next(iter(bring_uploads([file], inbox, speaker or name)))
    if arrival.outcome == "refused":
        raise ConfigError(f"voice {voice} of {recording} cannot be written: {arrival.detail}")
    return arrival.path, arrival.outcome
