"""pocketsphinx as a forced aligner of English: its acoustic model and dictionary are in its wheel.

What: Viterbi alignment of a word sequence (with optional pauses between words) against 10 ms frames of MFCCs, and a
second decoding of the same audio as any sequence of phones, which says how well it could have been explained.
Method: PocketSphinx 5, `set_align_text` and an allphone search, both without the lattice search that follows by default
(`bestpath`: it loses words, and whole paths, the more of them the wider the beam). Beams are wide: a path is nearly
always found, and the score judges it. A word that the dictionary lacks gets pronunciations by rule (`pronunciations`).
Score of a word: exp(s / 4), where s is the mean over its frames of ln p(frame | word) - ln p(frame | any phones), at
most 0: a goodness of pronunciation (Witt & Young 2000). It is fair to voices that the model fits badly, synthetic ones.
Cost: about 10 x real time a core. Results do not depend on what was aligned before.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.speech.words import Span, Unalignable, spoken
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Frames, Samples

POCKET_RATE = 16_000
"""Hz."""
FRAME = RATE // 100
"""Samples at 32 kHz in one frame of 10 ms."""
BEAM = 1e-200
SCALE = 4.0
UNITS = 1024
"""The segments of a decoder without lattice state their score in units of 1.0001 ** 1024."""
LEAD = 10
"""Frames of faint noise put before and after the audio: a recording cut off in its last sound has no end otherwise."""

# letters -> phones (ARPABET), longest first; enough for names that the dictionary of 134,000 words lacks
_RULES = (
    ("ough", "AO"), ("augh", "AO"), ("eigh", "EY"), ("tion", "SH AH N"), ("sion", "ZH AH N"), ("igh", "AY"),
    ("tch", "CH"), ("sch", "SH"), ("dge", "JH"), ("eau", "OW"), ("qu", "K W"), ("ch", "CH"), ("sh", "SH"),
    ("th", "TH"), ("ph", "F"), ("wh", "W"), ("ck", "K"), ("ng", "NG"), ("gh", "G"), ("kn", "N"), ("wr", "R"),
    ("ee", "IY"), ("ea", "IY"), ("ie", "IY"), ("ei", "IY"), ("oo", "UW"), ("ou", "AW"), ("ow", "OW"), ("oa", "OW"),
    ("oi", "OY"), ("oy", "OY"), ("ai", "EY"), ("ay", "EY"), ("au", "AO"), ("aw", "AO"), ("ew", "UW"), ("ue", "UW"),
    ("er", "ER"), ("ir", "ER"), ("ur", "ER"), ("ar", "AA R"), ("or", "AO R"), ("bb", "B"), ("cc", "K"), ("dd", "D"),
    ("ff", "F"), ("gg", "G"), ("ll", "L"), ("mm", "M"), ("nn", "N"), ("pp", "P"), ("rr", "R"), ("ss", "S"),
    ("tt", "T"), ("zz", "Z"), ("ce", "S EH"), ("ci", "S IH"), ("cy", "S IY"), ("ge", "JH EH"), ("a", "AE"),
    ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH"), ("f", "F"), ("g", "G"), ("h", "HH"), ("i", "IH"), ("j", "JH"),
    ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"), ("o", "AA"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"),
    ("t", "T"), ("u", "AH"), ("v", "V"), ("w", "W"), ("x", "K S"), ("y", "IY"), ("z", "Z"),
)  # fmt: skip
_ENDINGS = (("ces", "S IH Z"), ("ges", "JH IH Z"), ("ce", "S"), ("ge", "JH"), ("es", "S"), ("ed", "D"), ("e", ""))
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}


def letters_to_phones(word: str) -> str:
    """A rough English pronunciation of a-z and apostrophes: phones separated by spaces. Never empty.

    Raises ValueError where `word` has no letter.
    """
    word = re.sub("[^a-z]", "", word)
    if not word:
        raise ValueError("a pronunciation needs at least one letter a-z")
    phones: list[str] = []
    at = 0
    while at < len(word):
        rest = word[at:]
        ending = next((phones for letters, phones in _ENDINGS if at > 1 and rest == letters), None)
        if ending is not None:
            phones += ending.split()
            break
        if rest[0] in _LONG and re.fullmatch("[aeiou][b-df-hj-np-tv-z]es?", rest):  # a silent e makes the vowel long
            phones.append(_LONG[rest[0]])
            at += 1
            continue
        letters, sound = next((letters, sound) for letters, sound in _RULES if rest.startswith(letters))
        phones += sound.split()
        at += len(letters)
    return " ".join(phones)


def pronunciations(word: str) -> list[str]:
    """`letters_to_phones`, and its variants with reduced and with open vowels, for the aligner to choose from."""
    phones = letters_to_phones(word).split()
    vowels = [at for at, phone in enumerate(phones) if phone in ("AE", "EH", "IH", "AA", "AH")]
    variants = [phones]
    for spared in range(len(vowels)):  # every short vowel but one becomes a schwa
        variants.append(["AH" if at in vowels and at != vowels[spared] else p for at, p in enumerate(phones)])
    variants.append([{"AA": "OW", "AE": "AA", "IH": "IY"}.get(phone, phone) for phone in phones])
    for spared in vowels:  # or a long vowel among schwas
        long = {"AA": "OW", "AE": "EY", "IH": "AY", "EH": "IY", "AH": "UW"}[phones[spared]]
        variants.append([long if at == spared else "AH" if at in vowels else p for at, p in enumerate(phones)])
    return list(dict.fromkeys(" ".join(variant) for variant in variants))[:12]


class Pocket:
    """The aligner, loaded once."""

    def __init__(self) -> None:
        import pocketsphinx

        common: dict[str, Any] = {"lm": None, "samprate": float(POCKET_RATE), "loglevel": "FATAL", "bestpath": False}
        config = pocketsphinx.Config(beam=BEAM, pbeam=BEAM, wbeam=BEAM, **common)
        self._decoder: Any = pocketsphinx.Decoder(config)
        self._free: Any = pocketsphinx.Decoder(pocketsphinx.Config(**common))
        self._free.add_allphone_file("phones", None)
        self._free.activate_search("phones")

    def align(self, wave: Wave, words: Sequence[str]) -> list[Span | None]:
        """Place `words` on float32 [samples], 32 kHz, -1..1: a span for each word, None for those that make no sound.

        Raises:
            Unalignable: no word of the text is sounded, or no path through the audio speaks them all.
        """
        said = [[part for whole in spoken(word) for part in self._known(whole)] for word in words]
        text = [part for parts in said for part in parts]
        if not text:
            raise Unalignable("the text has no word that can be spoken")
        pcm = _pcm(wave)
        self._decoder.set_align_text(" ".join(text))
        found = [part for part in _decode(self._decoder, pcm) if not part.name.startswith(("<", "[", "("))]  # pauses
        if [part.name for part in found] != text:
            raise Unalignable(f"pocketsphinx finds no path that speaks the {len(text)} words of the text")
        free = np.concatenate([np.full(part.stop - part.start, part.mean) for part in _decode(self._free, pcm)])
        spans: list[Span | None] = []
        for parts in said:
            mine, found = found[: len(parts)], found[len(parts) :]
            spans.append(_span(mine, free, len(wave)) if mine else None)
        return spans

    def _known(self, word: str) -> list[str]:
        """`word` as words of the dictionary: itself, two that make it up, its letters, or itself with a new entry."""
        if self._decoder.lookup_word(word):
            return [word]
        bare = word.strip("'")
        if bare != word and bare and self._decoder.lookup_word(bare):
            return [bare]
        for at in range(3, len(bare) - 2):
            if self._decoder.lookup_word(bare[:at]) and self._decoder.lookup_word(bare[at:]):
                return [bare[:at], bare[at:]]
        if not re.search("[aeiouy]", bare):  # an abbreviation
            return [letter for letter in bare if letter != "'"]
        for number, phones in enumerate(pronunciations(word), 1):
            self._decoder.add_word(word if number == 1 else f"{word}({number})", phones, True)
        return [word]


@dataclass(frozen=True)
class _Part:
    """A word or phone of a decoder's best path."""

    name: str
    start: Frames
    stop: Frames
    mean: float
    """Natural log likelihood of a frame, relative to the best state active."""


def _decode(decoder: Any, pcm: bytes) -> list[_Part]:
    """The best path through the whole audio; [] where there is none."""
    decoder.reinit_feat()  # without it the features remember the utterance before
    try:
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)  # the whole at once: the cepstral means are this audio's own
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


def _span(parts: list[_Part], free: NDArray[np.float64], samples: Samples) -> Span:
    frames = sum(part.stop - part.start for part in parts)
    ratio = sum((part.mean - free[part.start : part.stop]).sum() for part in parts) / frames
    start, stop = ((frame - LEAD) * FRAME for frame in (parts[0].start, parts[-1].stop))
    return Span(min(max(start, 0), samples), min(max(stop, 0), samples), math.exp(min(ratio, 0.0) / SCALE))


def _pcm(wave: Wave) -> bytes:
    """16-bit little-endian at 16 kHz, at half of full scale: the level of a recording is no part of its sound."""
    import soxr

    low = soxr.resample(wave, RATE, POCKET_RATE)
    low = low * (0.5 / max(float(np.abs(low).max(initial=0.0)), 1e-6))
    # always the same noise, 60 dB below the peak: the results follow from the audio alone
    edges = np.random.default_rng(0).standard_normal((2, LEAD * POCKET_RATE // 100)).astype(np.float32) * 5e-4
    whole = np.concatenate([edges[0], low, edges[1]])
    return bytes((whole * 32_767).astype("<i2").tobytes())
