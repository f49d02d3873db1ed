"""Speech of a voice over a test set, synthesised once and stored in a folder named by all that it depends on.

Each sentence is a 16-bit FLAC file with the notice of synthetic speech, and a JSON file, written after it, with its
duration and time: a killed run continues where it stopped. The audio is judged as it is stored. Time: the first
sentence is synthesised once before the clock runs; reading the reference is not included.
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
    """Measurements of one synthesised sentence; stored as JSON."""

    seconds: Seconds
    """Duration of the speech; 0 = it failed."""
    took: Seconds
    """Time of the computation."""
    ended: tuple[str, ...] = ()
    """Why each piece ended, in words."""
    error: str = ""
    """Why it failed; "" = it did not."""


@dataclass(frozen=True, eq=False)
class Speech:
    """Speech of a voice over a test set."""

    folder: Path
    spoken: Mapping[str, SpokenSentence] = field(repr=False)
    """Measurements by sentence."""

    def path(self, sentence: str) -> Path:
        """Return the path of the FLAC file of a sentence."""
        return self.folder / f"{sentence}.flac"

    def wave(self, sentence: str) -> Wave | None:
        """Return the audio float32 [samples], 32 kHz; None where the sentence failed."""
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
    """Synthesise the sentences that are not in `folder` yet. The voice is opened only if there are any.

    Args:
        threads: threads of torch meanwhile; 0 = unchanged.
        after: called after each sentence.
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
    """Set the number of threads of torch for a while, 0 = unchanged; gives the number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield threads or before
    finally:
        torch.set_num_threads(before)


class _Timed:
    """A voice with cached references, warmed up before its first timed sentence."""

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
        except VoicemillError as error:  # one failed sentence does not end the evaluation
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
