"""pocketsphinx as a forced aligner: its acoustic model and dictionary, of English, are in its wheel.

What: Viterbi alignment of a word sequence (with optional pauses between words) against 10 ms frames of MFCCs, and a
second decoding of the same audio as any sequence of phones, the best explanation that the model has for it.
Method: PocketSphinx 5, `set_align_text` and an allphone search, both without the lattice search that follows by default
(`bestpath` loses words and whole paths, more of them with wider beams). Beams are wide, so that a path is nearly always
found; the score judges it. Words and pronunciations are those of the English front end, beside which a word
may have those of the decoder's dictionary. Words of other languages are spoken with the nearest English phones
(`arpabet`).
Score of a word: exp(s / 4), where s is the mean over its frames of ln p(frame | word) - ln p(frame | any phones), at
most 0: a goodness of pronunciation (Witt & Young 2000). It is fair to voices that the model fits badly, as synthetic
ones.
Cost: about 10 x real time a core. Results do not depend on earlier calls.
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.speech.arpabet import USUAL, english_readings
from voicemill.model.speech.coverage import Part, uncovered
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.words import Alignment, Span, Unalignable, spoken_english
from voicemill.model.text.written import SpokenWord
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Frames, Samples

POCKET_RATE = 16_000
"""Sample rate of the model, Hz."""
FRAME = RATE // 100
"""Samples at 32 kHz in one frame of 10 ms."""
BEAM = 1e-200
"""Ratio to the likeliest state below which a state is dropped."""
SCALE = 4.0
"""Divisor of the log ratio in the score of a word."""
UNITS = 1024
"""A decoder without lattice gives the scores of its segments in units of 1.0001 ** 1024."""
LEAD = 10
"""Frames of faint noise before and after the audio: without them a recording cut off in its last sound has no end."""


class PocketsphinxAligner:
    """The decoder with its acoustic model and dictionary, loaded once (1.0 s)."""

    def __init__(self) -> None:
        import pocketsphinx

        common: dict[str, Any] = {"lm": None, "samprate": float(POCKET_RATE), "loglevel": "FATAL", "bestpath": False}
        config = pocketsphinx.Config(beam=BEAM, pbeam=BEAM, wbeam=BEAM, **common)
        self._decoder: Any = pocketsphinx.Decoder(config)
        self._free: Any = pocketsphinx.Decoder(pocketsphinx.Config(**common))
        self._free.add_allphone_file("phones", None)
        self._free.activate_search("phones")
        self._last: tuple[bytes, list[_Part]] = (b"", [])

    def align(self, wave: Wave, words: Sequence[str], language: str = "en") -> Alignment:
        """Place `words` of one of `arpabet.LANGUAGES` on float32 [samples], 32 kHz, -1..1.

        A word that is read as several (`$12.50`) spans all of them.

        Raises:
            Unalignable: no word of the text makes a sound, or no path through the audio speaks them all.
            ModelMissing: the wheel with the dictionary of the language is not installed.
        """
        entries = self._english(words) if language == "en" else self._foreign(words, language)
        text = [entry for word in entries for entry in word]
        if not text:
            raise Unalignable("the text has no word that can be spoken")
        pcm = _pcm(wave)
        self._decoder.set_align_text(" ".join(text))
        path = _decode(self._decoder, pcm)
        placed = [part for part in path if not part.is_pause]
        if [part.name for part in placed] != text:
            raise Unalignable(f"pocketsphinx finds no path that speaks the {len(text)} words of the text")
        free = self._any_phones(pcm)
        any_phones = _frames([part.mean for part in free], free)
        spoken = _frames([float(part.is_phone) for part in free], free)
        rest = iter(placed)
        shares = [list(itertools.islice(rest, len(word))) for word in entries]
        stretches = uncovered(
            Part(
                start=part.start,
                stop=part.stop,
                score=_score(part.ratio(any_phones)),
                phones=part.phones,
                spoken=float(spoken[part.start : part.stop].mean()),
            )
            for part in path
        )
        spans = iter(_audible([_span(share, any_phones, len(wave)) for share in shares if share], len(wave)))
        return Alignment(
            spans=tuple(next(spans) if share else None for share in shares),
            uncovered=tuple((_sample(start, len(wave)), _sample(stop, len(wave))) for start, stop in stretches),
            phones=tuple(_sample((part.start + part.stop) // 2, len(wave)) for part in free if part.is_phone),
            usual=USUAL[language],
        )

    def _any_phones(self, pcm: bytes) -> "list[_Part]":
        """Best sequence of any phones; that of the last audio is kept, for several texts of one recording."""
        if self._last[0] != pcm:
            self._last = (pcm, _decode(self._free, pcm))
        return self._last[1]

    def _english(self, words: Sequence[str]) -> list[list[str]]:
        """Dictionary entries of each word: one for each word that it is read as."""
        return [[self._entry(spoken) for spoken in word] for word in spoken_english(words)]

    def _foreign(self, words: Sequence[str], language: str) -> list[list[str]]:
        """Dictionary entries of each word of another language: one, or none for a word without sound."""
        entries: list[list[str]] = []
        for phones in pronounce(words, language):
            name = f"{language}:{'.'.join(phones)}".replace("(", "")
            if phones and not self._decoder.lookup_word(name):
                self._add(name, english_readings(phones, language))
            entries.append([name] if phones else [])
        return entries

    def _entry(self, spoken: SpokenWord) -> str:
        """Name of a word in the decoder's dictionary, with the front end's pronunciation and alternatives to it.

        The name holds the phones: a spelling with two readings has two entries. Alternatives are those of the decoder's
        own dictionary (weak forms, dialects), and `variants` of a word that it lacks.
        """
        phones = " ".join(phone.rstrip("012") for phone in spoken.phones)
        name = f"{spoken.text}:{phones.replace(' ', '.')}"
        if not self._decoder.lookup_word(name):
            spelling = spoken.text.lower()
            known = [] if len(spelling) == 1 and spelling != spoken.text else list(self._dictionary(spelling))
            others = known if known or len(spelling) == 1 else variants(phones)
            self._add(name, [phones, *others])
        return name

    def _add(self, name: str, readings: Sequence[str]) -> None:
        for number, reading in enumerate(dict.fromkeys(readings), 1):
            self._decoder.add_word(name if number == 1 else f"{name}({number})", reading, False)

    def _dictionary(self, spelling: str) -> Iterator[str]:
        """Pronunciations of a spelling in the decoder's own dictionary."""
        for number in itertools.count(1):
            phones = self._decoder.lookup_word(spelling if number == 1 else f"{spelling}({number})")
            if phones is None:
                return
            yield phones


def variants(pronunciation: str) -> list[str]:
    """Other pronunciations of a word that no dictionary has, at most 12: with reduced and with open vowels."""
    phones = pronunciation.split()
    vowels = [at for at, phone in enumerate(phones) if phone in _LONG]
    others: list[list[str]] = []
    for spared in vowels:  # every short vowel but one becomes a schwa
        others.append(["AH" if at in vowels and at != spared else phone for at, phone in enumerate(phones)])
    others.append([{"AA": "OW", "AE": "AA", "IH": "IY"}.get(phone, phone) for phone in phones])
    for spared in vowels:  # or a long vowel among schwas
        long = _LONG[phones[spared]]
        others.append([long if at == spared else "AH" if at in vowels else p for at, p in enumerate(phones)])
    return list(dict.fromkeys(" ".join(other) for other in others))[:12]


_LONG = {"AA": "OW", "AE": "EY", "IH": "AY", "EH": "IY", "AH": "UW"}
"""Short vowels and the long ones that are written with the same letter."""


@dataclass(frozen=True)
class _Part:
    """A word or phone on a decoder's best path."""

    name: str
    start: Frames
    stop: Frames
    mean: float
    """Mean natural log likelihood of a frame, relative to the best active state."""

    @property
    def is_pause(self) -> bool:
        """Whether it is silence or a noise."""
        return self.name.startswith(("<", "[", "("))

    @property
    def is_phone(self) -> bool:
        """Whether it is a phone of a path of any phones."""
        return self.name.isalpha() and self.name != "SIL"

    @property
    def phones(self) -> int:
        """Phones of the word, 0 for a pause; the name holds them."""
        return 0 if self.is_pause else self.name.partition(":")[2].count(".") + 1

    def ratio(self, free: NDArray[np.float64]) -> float:
        """Mean log ratio to any phones, whose log likelihoods are float64 [frames]."""
        return float((self.mean - free[self.start : self.stop]).mean())


def _decode(decoder: Any, pcm: bytes) -> list[_Part]:
    """Best path through the whole audio; [] without one."""
    decoder.reinit_feat()  # else the features depend on the previous utterance
    try:
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)  # all at once: the cepstral means are those of this audio
        decoder.end_utt()
    except RuntimeError:
        return []
    if decoder.hyp() is None:
        return []
    parts = []
    for part in decoder.seg():
        frames = part.end_frame + 1 - part.start_frame
        mean = math.log(part.ascore or 1e-320) * UNITS / frames
        parts.append(_Part(re.sub(r"\(\d+\)$", "", part.word), part.start_frame, part.end_frame + 1, mean))
    return parts


def _frames(values: Sequence[float], parts: Sequence[_Part]) -> NDArray[np.float64]:
    """The value of its part for every frame, float64 [frames]."""
    return np.repeat(np.asarray(values, np.float64), [part.stop - part.start for part in parts])


def _span(parts: list[_Part], free: NDArray[np.float64], samples: Samples) -> Span:
    frames = sum(part.stop - part.start for part in parts)
    ratio = sum(part.ratio(free) * (part.stop - part.start) for part in parts) / frames
    start, stop = _sample(parts[0].start, samples), _sample(parts[-1].stop, samples)
    return Span(start, stop, _score(ratio), sum(part.phones for part in parts))


def _audible(spans: Sequence[Span], samples: Samples) -> list[Span]:
    """The spans, each a frame long at least: the first or last word of a recording may lie wholly in the `LEAD`."""
    reached, edges = 0, list[tuple[Samples, Samples]]()
    for span in spans:
        start = max(span.start, reached)
        reached = max(span.stop, start + FRAME)
        edges.append((start, reached))
    reached, audible = samples, list[Span]()
    for (start, stop), span in zip(reversed(edges), reversed(spans), strict=True):
        stop = min(stop, reached)
        reached = max(min(start, stop - FRAME), 0)
        audible.append(replace(span, start=reached, stop=stop))
    return audible[::-1]


def _score(ratio: float) -> float:
    return math.exp(min(ratio, 0.0) / SCALE)


def _sample(frame: Frames, samples: Samples) -> Samples:
    """First sample of a frame, within the audio."""
    return min(max((frame - LEAD) * FRAME, 0), samples)


def _pcm(wave: Wave) -> bytes:
    """16-bit little-endian samples at 16 kHz, normalised to half of full scale, between `LEAD` frames of noise."""
    import soxr

    low = soxr.resample(wave, RATE, POCKET_RATE)
    low = low * (0.5 / max(float(np.abs(low).max(initial=0.0)), 1e-6))
    # always the same noise, 60 dB below the peak, so that results follow from the audio alone
    edges = np.random.default_rng(0).standard_normal((2, LEAD * POCKET_RATE // 100)).astype(np.float32) * 5e-4
    whole = np.concatenate([edges[0], low, edges[1]])
    return bytes((whole * 32_767).astype("<i2").tobytes())
