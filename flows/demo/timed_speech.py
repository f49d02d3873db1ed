"""Speech with known word times, synthesised to measure aligners: several voices speak the same texts."""

import importlib.util
from collections.abc import Sequence

import numpy as np
import soxr

from voicemill.flows.demo.voice import RATE as VOICE_RATE
from voicemill.flows.demo.voice import Line, TimedWord, speak_timed
from voicemill.model.aligner.measuring import Timed
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.words import join
from voicemill.storage.errors import VoicemillError
from voicemill.storage.units import RATE

VARIANTS = ("+m3", "+m7", "+f1", "+f4")
"""Voices of men and women that sound the same every time."""
_CODES = {"zh": "cmn"}
"""Language -> code of espeak-ng, where they differ."""


def is_installed() -> bool:
    """Whether the extra `demo` is installed."""
    return importlib.util.find_spec("espeakng_loader") is not None


def timed_speech(texts: Sequence[Sequence[str]], language: str) -> list[Timed] | None:
    """Clips of texts, given as their words, in every variant; None where espeak-ng does not speak the language."""
    spoken = [join(list(words), language) for words in texts]
    voices = [_CODES.get(language, language) + variant for variant in VARIANTS]
    lines = [Line(text, voice) for voice in voices for text in spoken]
    try:
        made = speak_timed(lines)
    except VoicemillError:
        return None
    return [
        timed(wave, words, marks, language) for (wave, marks), words in zip(made, [*texts] * len(voices), strict=True)
    ]


def timed(wave: "np.ndarray[tuple[int], np.dtype[np.float32]]", words: Sequence[str], marks: Sequence[TimedWord],
          language: str) -> Timed:  # fmt: skip
    """A clip with the times that belong to its written words.

    Where the synthesiser took several words together, the first has the start and the last one the stop.
    """
    text, at = join(list(words), language), 0
    owner: dict[int, int] = {}
    """First character of each word -> its number."""
    phones = pronounce(words, language)
    for number, word in enumerate(words):
        at = text.index(word, at)
        owner[at] = number
        at += len(word)
    sounded = [number for number, word in enumerate(phones) if word]
    starts, stops = [], []
    known = [(owner[mark.at], mark) for mark in marks if owner.get(mark.at) in sounded]
    following = [number for number, _ in known[1:]] + [len(words)]
    for (number, mark), limit in zip(known, following, strict=True):
        starts.append((number, round(mark.start * RATE / VOICE_RATE)))
        stops.append((max(n for n in sounded if n < limit), round(mark.stop * RATE / VOICE_RATE)))
    low = soxr.resample(wave, VOICE_RATE, RATE).astype(np.float32)
    return Timed(wave=low, text=phones, starts=tuple(starts), stops=tuple(stops))
