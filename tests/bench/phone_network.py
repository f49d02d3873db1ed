"""Phones of Chinese and German heard in the states of Whisper's encoder, for `phone_witness.py`.

One hidden layer over three states of the last layer of the embedded Whisper tiny.en is trained on the phones that
pocketsphinx places in English recordings. On it stands a multinomial regression for each language, trained on right
texts alone, in rounds of Viterbi alignment from the English phones that sound alike (`arpabet.TABLES`); English frames
count a fifth as examples of those. A posterior over the frequency of its phone to the power of PRIOR is the likelihood
of a state (Bourlard and Morgan 1994).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from content import phones_of
from cut_speech import CutRecording
from numpy.typing import NDArray
from torch.nn import functional

from voicemill.model.aligner import hmm
from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.content.whisper import WhisperEncoder
from voicemill.model.device import place
from voicemill.model.speech.arpabet import TABLES
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.words import Unalignable, split

ENGLISH = "SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
ARPABET = {phone: number for number, phone in enumerate(ENGLISH.split())}
LAYER, HIDDEN, EPOCHS, ROUNDS = 4, 128, 12, 2
PRIOR, FLOOR, WILD = 0.5, -12.0, 1.0
"""Power of a phone's frequency; least log posterior; how much worse than the best phone an unknown one is."""
BORROWED, DECAY = 0.2, 1e-3
"""Weight of English frames, and of the squared weights of a regression."""
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def windows(states: Floats) -> Floats:
    """Three neighbouring states for each frame, float32 [frames, 384] -> [frames, 1152]."""
    padded = np.pad(states, ((1, 1), (0, 0)), mode="edge")
    return np.concatenate([padded[at : at + len(states)] for at in range(3)], 1)


def hidden_layer(inputs: Floats, labels: Ints) -> tuple[Callable[[Floats], Floats], torch.nn.Module, Floats]:
    """From windows to hidden units [frames, HIDDEN]; the layer of English phones on them; log frequencies of these."""
    torch.manual_seed(0)
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    mean, scale = x.mean(0), x.std(0) + 1e-3
    body = torch.nn.Sequential(torch.nn.Dropout(0.15), torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.ReLU())
    head = torch.nn.Linear(HIDDEN, len(ARPABET))
    parameters = [*body.parameters(), *head.parameters()]
    optimizer, steps = torch.optim.AdamW(parameters, 1e-3, weight_decay=1e-3), EPOCHS * (len(x) // 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        some = torch.randint(0, len(x), (256,))
        units = functional.dropout(body((x[some] - mean) / scale), 0.3)
        optimizer.zero_grad()
        functional.cross_entropy(head(units), y[some], label_smoothing=0.02).backward()
        optimizer.step()
        schedule.step()
    body.eval()

    def units_of(rows: Floats) -> Floats:
        with torch.no_grad():
            units: Floats = body((torch.from_numpy(rows) - mean) / scale).numpy()
        return units

    counts = np.bincount(labels, minlength=len(ARPABET)) + 1.0
    return units_of, head, np.log(counts / counts.sum()).astype(np.float32)


@dataclass(frozen=True)
class Inventory:
    """Phones of a language for the HMM: a rime with a nasal is two, its vowel and its nasal; `ts` is `t` and `s`."""

    parts: Mapping[str, tuple[str, ...]]
    """Phone of `pronunciation` -> its phones here."""
    alike: Mapping[str, frozenset[str]]
    """Phone here -> English phones that sound alike."""

    @classmethod
    def of(cls, language: str) -> "Inventory":
        parts: dict[str, tuple[str, ...]] = {}
        alike: dict[str, set[str]] = defaultdict(set)
        for phone, text in TABLES[language].items():
            readings = [reading.split() for reading in text.split("|")]
            nasal = {reading[-1] for reading in readings} & {"N", "NG"}
            if phone == "ts":
                parts[phone] = ("t", "s")
                continue
            if nasal and len(readings[0]) == 2:
                parts[phone] = (phone, f"-{readings[0][-1]}")
                alike[parts[phone][1]] |= nasal
                alike[phone] |= {reading[0] for reading in readings}
                continue
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

    def shares(self) -> Floats:
        """Share of each phone here in a frame of an English phone, float32 [English phones, 1 + phones]."""
        table = np.zeros((len(ARPABET), 1 + len(self.alike)), np.float32)
        table[0, 0] = 1
        for at, names in enumerate(self.alike.values(), 1):
            for name in names:
                table[ARPABET[name], at] = 1
        return table / np.maximum(table.sum(1, keepdims=True), 1)


def states_of(scores: Floats) -> Floats:
    """Scores of phones [frames at 50 Hz, 1 + phones] -> of the states of `hmm` [frames at 100 Hz, 1 + 3 phones]."""
    wide = np.concatenate([scores[:, :1], np.repeat(scores[:, 1:], hmm.STATES, 1)], 1)
    return np.repeat(wide, 2, 0).astype(np.float32)


def with_wild(scores: Floats) -> Floats:
    """`scores` with the states of a phone that is not known."""
    wild = scores[:, 1:].max(1, keepdims=True) - np.float32(WILD)
    return np.concatenate([scores, np.repeat(wild, hmm.STATES, 1)], 1)


def likelihoods(logs: Floats, frequencies: Floats) -> Floats:
    return np.maximum(logs, np.float32(FLOOR)) - np.float32(PRIOR) * frequencies


class Regression:
    """Phones of a language from hidden units."""

    def __init__(self, inventory: Inventory, mean: Floats, scale: Floats) -> None:
        self.inventory, self.mean, self.scale = inventory, mean, scale
        self.weights = torch.zeros(HIDDEN, 1 + len(inventory.alike), requires_grad=True)
        self.bias = torch.zeros(1 + len(inventory.alike), requires_grad=True)
        self.frequencies = np.zeros(1 + len(inventory.alike), np.float32)

    def fit(self, units: Floats, labels: Ints, english: Floats, borrowed: Floats) -> None:
        """Fit to frames of the language, and to `english` ones with the shares `borrowed` of the phones."""
        x, y = (torch.from_numpy(values) for values in ((units - self.mean) / self.scale, labels))
        other, shares = torch.from_numpy((english - self.mean) / self.scale), torch.from_numpy(borrowed)
        weight = BORROWED * max(len(x), 3000)
        optimizer = torch.optim.LBFGS([self.weights, self.bias], max_iter=80, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            own = functional.cross_entropy(x @ self.weights + self.bias, y, reduction="sum")
            logs = torch.log_softmax(other @ self.weights + self.bias, 1)
            value = (own - weight / len(other) * (shares * logs).sum()) / (len(x) + weight)
            value = value + DECAY / 2 * self.weights.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        counts = np.bincount(labels, minlength=len(self.bias)) + 0.5 + weight / len(other) * borrowed.sum(0)
        self.frequencies = np.log(counts / counts.sum()).astype(np.float32)

    def scores(self, units: Floats) -> Floats:
        """float32 [frames at 50 Hz, HIDDEN] -> [frames at 100 Hz, states]."""
        with torch.no_grad():
            rows = torch.from_numpy((units - self.mean) / self.scale)
            logs = torch.log_softmax(rows @ self.weights + self.bias, 1).numpy()
        return states_of(likelihoods(logs, self.frequencies))


def labels_of(scores: Floats, numbers: Sequence[Sequence[int]]) -> Ints | None:
    """Phone of each frame of 50 Hz, 0 = silence, -1 = unknown; None where the text is too long."""
    text = hmm.chain(numbers)
    if hmm.shortest(text) + 2 > len(scores):
        return None
    states = text.states[hmm.align(with_wild(scores), text)][::2]
    phones = np.where(states == hmm.SILENCE, 0, (states - 1) // hmm.STATES + 1)
    return np.where(states < scores.shape[1], phones, -1)


@dataclass(frozen=True)
class Ears:
    """Hidden units of every recording, the English layer, and English frames as examples for other languages."""

    units: Mapping[str, Floats]
    head: torch.nn.Module
    frequencies: Floats
    english: Floats
    phones: Ints

    def teach(self, clips: Sequence[CutRecording], language: str, rounds: int = ROUNDS) -> Regression:
        """The regression of a language from right texts."""
        inventory = Inventory.of(language)
        model = Regression(inventory, self.english.mean(0), self.english.std(0) + np.float32(1e-3))
        borrowed = inventory.shares()[self.phones]
        for number in range(rounds):
            rows, labels = [], []
            for clip in clips:
                units = self.units[clip.file]
                scores = model.scores(units) if number else self.borrowed(units, inventory)
                found = labels_of(scores, inventory.numbers(split(clip.text, language), language))
                if found is not None:
                    rows.append(units[found >= 0])
                    labels.append(found[found >= 0])
            model.fit(np.concatenate(rows), np.concatenate(labels), self.english, borrowed)
        return model

    def borrowed(self, units: Floats, inventory: Inventory) -> Floats:
        """Scores of the phones of a language by the English ones that sound alike."""
        with torch.no_grad():
            logs = torch.log_softmax(self.head(torch.from_numpy(units)), 1).numpy()
        scores = likelihoods(logs, self.frequencies)
        own = [scores[:, [ARPABET[name] for name in names]].max(1) for names in inventory.alike.values()]
        return states_of(np.stack([scores[:, 0], *own], 1))


def listen(clips: Sequence[CutRecording]) -> Ears:
    """Train the hidden layer on English, and compute its units of all recordings."""
    encoder = WhisperEncoder.load(LAYER, normalise=False, placement=place("cpu", "float32"))
    inputs = {c.file: windows(encoder.encode([to_16_khz(np.concatenate(c.waves))])[0]) for c in clips}
    aligner, rows, labels = PocketsphinxAligner(), list[Floats](), list[Ints]()
    for clip in (clip for clip in clips if clip.language == "en"):
        try:
            phones = phones_of(aligner, np.concatenate(clip.waves), split(clip.text, "en"))
        except Unalignable:
            continue
        rows.append(inputs[clip.file])
        labels.append(np.array([ARPABET[phone] for phone in phones]))
    x, y = np.concatenate(rows), np.concatenate(labels)
    units_of, head, frequencies = hidden_layer(x, y)
    some = np.random.default_rng(0).permutation(len(x))[:15_000]
    units = {c.file: units_of(inputs[c.file]) for c in clips if c.language != "en"}
    return Ears(units=units, head=head, frequencies=frequencies, english=units_of(x[some]), phones=y[some])
