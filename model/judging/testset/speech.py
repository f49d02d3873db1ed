"""A voice says the sentences of a test set, once: the sounds stay in a folder, by all that they depend on.

Each sentence is a 16-bit FLAC file with the notice of synthetic speech, and a JSON file written after it that says how
long it took: what was killed goes on where it was. The sound is judged as it is stored. Time: the first sentence is
said once before the clock runs; reading the reference is not part of it.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from voicemill.model.judging.testset.clips import Clip
from voicemill.model.judging.testset.testset import Sentence, TestSet
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.voices.opening import AnyVoice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import VoicemillError
from voicemill.storage.files import write_json
from voicemill.storage.units import RATE, Seconds
from voicemill.storage.voices.notice import write_speech


@dataclass(frozen=True)
class SpokenSentence:
    """How one sentence was said."""

    seconds: Seconds
    """Of speech; 0 = it could not be said."""
    took: Seconds
    """Of computing."""
    ended: tuple[str, ...] = ()
    """Why each piece stopped, in words."""
    error: str = ""
    """Why it could not be said."""


@dataclass(frozen=True, eq=False)
class Speech:
    """What a voice said of a test set."""

    folder: Path
    spoken: Mapping[str, SpokenSentence] = field(repr=False)
    """By sentence."""

    def path(self, sentence: str) -> Path:
        """The FLAC file."""
        return self.folder / f"{sentence}.flac"

    def wave(self, sentence: str) -> Wave | None:
        """float32 [samples], 32 kHz; None where it could not be said."""
        import soundfile

        if self.spoken[sentence].error:
            return None
        found: Wave = soundfile.read(self.path(sentence), dtype="float32")[0]
        return found


def synthesise(
    testset: TestSet,
    opened: Callable[[], AnyVoice],
    folder: Path,
    options: SpeakOptions,
    *,
    threads: int = 0,
    after: Callable[[str, SpokenSentence], None] = lambda sentence, spoken: None,
) -> Speech:
    """Say what is not in `folder` yet. The voice is opened only if there is anything to say.

    Args:
        threads: of torch while it speaks; 0 = as they are.
        after: told of each sentence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spoken = {s.id: stored for s in testset.sentences if (stored := _read(folder, s.id)) is not None}
    todo = [s for s in testset.sentences if s.id not in spoken]
    with threads_of(threads):
        voice = _Timed(opened(), options) if todo else None
        for sentence in todo:
            assert voice is not None
            spoken[sentence.id] = voice.speak(sentence, folder)
            after(sentence.id, spoken[sentence.id])
    return Speech(folder, {s.id: spoken[s.id] for s in testset.sentences})


@contextmanager
def threads_of(threads: int) -> Iterator[int]:
    """Let torch use so many for a while, 0 = as many as it does; gives the number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield threads or before
    finally:
        torch.set_num_threads(before)


class _Timed:
    """A voice, the references that it has heard, and whether it is warm."""

    def __init__(self, voice: AnyVoice, options: SpeakOptions) -> None:
        self._voice, self._options = voice, options
        self._references: dict[str, Any] = {}
        self._warm = False

    def speak(self, sentence: Sentence, folder: Path) -> SpokenSentence:
        try:
            reference = self._reference(sentence.reference)
            if not self._warm:
                self._voice.speak(sentence.text, reference, self._options_of(sentence))
                self._warm = True
            began = time.perf_counter()
            speech = self._voice.speak(sentence.text, reference, self._options_of(sentence))
            took = time.perf_counter() - began
            write_speech(folder / f"{sentence.id}.flac", speech.wave, RATE)
            spoken = SpokenSentence(round(speech.seconds, 4), took, tuple(piece.ended for piece in speech.pieces))
        except VoicemillError as error:  # one sentence that cannot be said is no reason to judge none
            spoken = SpokenSentence(0.0, 0.0, error=str(error))
        write_json(folder / f"{sentence.id}.json", asdict(spoken))
        return spoken

    def _reference(self, clip: Clip) -> Any:
        if clip.id not in self._references:
            self._references[clip.id] = self._voice.reference([clip.wave], clip.text, clip.language or "auto")
        return self._references[clip.id]

    def _options_of(self, sentence: Sentence) -> SpeakOptions:
        return replace(self._options, language=sentence.language or "auto")


def _read(folder: Path, sentence: str) -> SpokenSentence | None:
    path = folder / f"{sentence}.json"
    if not path.is_file():
        return None
    raw = json.loads(path.read_bytes())
    spoken = SpokenSentence(**raw | {"ended": tuple(raw["ended"])})
    there = bool(spoken.error) or (folder / f"{sentence}.flac").is_file()
    return spoken if there and math.isfinite(spoken.took) else None
