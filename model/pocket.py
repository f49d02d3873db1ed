"""pocketsphinx as a forced aligner of English: its acoustic model and dictionary are in its wheel.

What: Viterbi alignment of a word sequence (with optional pauses between words) against 10 ms frames of MFCCs.
Method: PocketSphinx 5, `Decoder.set_align_text`, one pass. Its second pass (phones and states) is not run: it adds no
word and fails on one right transcript in five. A word that its dictionary lacks gets a pronunciation by
`letters_to_phones`.
Score of a word: exp(s / 10), where s is the mean over its frames of the natural log likelihood of its states relative
to the best of all states of the model; 10 is the usual acoustic scale of a decoder (neighbouring frames are not
independent). A state that is always the best one has 1.
Cost: see tests/bench/align.py. Results do not depend on what was aligned before.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from model.words import Span, Unalignable, spoken
from storage.artifacts import Wave
from storage.units import RATE, Hertz

POCKET_RATE: Hertz = 16_000
FRAME = RATE // 100
"""Samples at 32 kHz in one frame of 10 ms."""
SCALE = 10.0

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


class Pocket:
    """The aligner, loaded once."""

    def __init__(self) -> None:
        import pocketsphinx

        # compallsen: scores are relative to the best of all states, so that they mean the same for every text
        config = pocketsphinx.Config(lm=None, samprate=float(POCKET_RATE), loglevel="FATAL", compallsen=True)
        self._decoder: Any = pocketsphinx.Decoder(config)

    def align(self, wave: Wave, words: Sequence[str]) -> list[Span | None]:
        """Place `words` on float32 [samples], 32 kHz, -1..1: a span for each word, None for those that make no sound.

        Raises:
            Unalignable: no word of the text is sounded, no path through the audio exists, or it does not reach the
                last word.
        """
        said = [[part for whole in spoken(word) for part in self._known(whole)] for word in words]
        text = [part for parts in said for part in parts]
        if not text:
            raise Unalignable("the text has no word that can be spoken")
        found = self._search(wave, text)
        if [name for name, _, _, _ in found] != text:
            raise Unalignable(f"the audio ends after {len(found)} of the {len(text)} words of the text")
        spans: list[Span | None] = []
        for parts in said:
            mine, found = found[: len(parts)], found[len(parts) :]
            spans.append(_span(mine) if mine else None)
        return spans

    def _search(self, wave: Wave, text: list[str]) -> list[tuple[str, int, int, float]]:
        decoder = self._decoder
        try:
            decoder.set_align_text(" ".join(text))
            decoder.start_utt()
            decoder.process_raw(_pcm(wave), full_utt=True)  # the whole: cepstral means are this audio's own
            decoder.end_utt()
        except RuntimeError as error:
            raise Unalignable(f"pocketsphinx finds no path: {error}") from None
        if decoder.hyp() is None:
            raise Unalignable("pocketsphinx finds no path through the audio that speaks this text")
        return [
            (re.sub(r"\(\d+\)$", "", part.word), part.start_frame, part.end_frame + 1, math.log(part.ascore or 1e-320))
            for part in decoder.seg()
            if part.word[0] not in "<[("  # pauses and noises
        ]

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
        self._decoder.add_word(word, letters_to_phones(word), True)
        return [word]


def _span(parts: list[tuple[str, int, int, float]]) -> Span:
    frames = sum(stop - start for _, start, stop, _ in parts)
    score = math.exp(min(sum(log for _, _, _, log in parts) / frames / SCALE, 0.0))
    return Span(parts[0][1] * FRAME, parts[-1][2] * FRAME, score)


def _pcm(wave: Wave) -> bytes:
    """16-bit little-endian at 16 kHz, at half of full scale: the level of a recording is no part of its sound."""
    import soxr

    low = soxr.resample(wave, RATE, POCKET_RATE)
    peak = float(np.abs(low).max(initial=0.0))
    return bytes((low * (16_383 / max(peak, 1e-6))).astype("<i2").tobytes())
