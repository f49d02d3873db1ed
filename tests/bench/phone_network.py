"""Phones of Chinese heard in the states of Whisper's encoder, for `phone_witness.py`.

One hidden layer over three states of the last layer of the embedded Whisper tiny.en is trained on the phones that
pocketsphinx places in English recordings. On it stands a multinomial regression for each language, trained on right
texts alone, in rounds of Viterbi alignment from the English phones that sound alike (`arpabet.TABLES`); English frames
count a fifth as examples of those. A posterior over the frequency of its phone to the power of PRIOR is the likelihood
of a state (Bourlard and Morgan 1994).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from content import phones_of
from cut_speech import CutRecording
from torch.nn import functional

from voicemill.model.aligner import hmm
from voicemill.model.aligner.hmm import Floats, Ints
from voicemill.model.aligner.phone_network import FLOOR, LAYER, PRIOR, Inventory, state_scores, windows
from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.content.whisper import WhisperEncoder
from voicemill.model.device import place
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.words import Unalignable, split

ENGLISH = "SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
ARPABET = {phone: number for number, phone in enumerate(ENGLISH.split())}
HIDDEN, EPOCHS, ROUNDS = 128, 12, 2
BORROWED, DECAY = 0.2, 1e-3
"""Weight of English frames, and of the squared weights of a regression."""


@dataclass(frozen=True)
class Hidden:
    """The hidden layer, with its inputs as they are, and the English phones on it."""

    weights: Floats
    """float32 [1152, HIDDEN]."""
    bias: Floats
    head: torch.nn.Module
    """From hidden units to logits of `ARPABET`."""
    frequencies: Floats
    """Natural logs of the shares of the English phones."""

    def units(self, rows: Floats) -> Floats:
        """float32 [frames, 1152] -> [frames, HIDDEN]."""
        return np.maximum(rows @ self.weights + self.bias, 0)

    @classmethod
    def train(cls, inputs: Floats, labels: Ints) -> "Hidden":
        """Train on windows of English, float32 [frames, 1152], and the phone of each."""
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
        with torch.no_grad():
            weights = body[1].weight.T / scale[:, None]
            bias = body[1].bias - mean @ weights
        counts = np.bincount(labels, minlength=len(ARPABET)) + 1.0
        return cls(weights.numpy(), bias.numpy(), head, np.log(counts / counts.sum()).astype(np.float32))


def shares(inventory: Inventory) -> Floats:
    """Share of each phone of a language in a frame of an English phone, float32 [English phones, 1 + phones]."""
    table = np.zeros((len(ARPABET), 1 + len(inventory.alike)), np.float32)
    table[0, 0] = 1
    for at, names in enumerate(inventory.alike.values(), 1):
        for name in names:
            table[ARPABET[name], at] = 1
    return table / np.maximum(table.sum(1, keepdims=True), 1)


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
        """`state_scores` of hidden units, float32 [frames at 50 Hz, HIDDEN]."""
        with torch.no_grad():
            rows = torch.from_numpy((units - self.mean) / self.scale)
            logs = torch.log_softmax(rows @ self.weights + self.bias, 1).numpy()
        return state_scores(logs, self.frequencies)

    def table(self) -> dict[str, Floats]:
        """Weights and bias on plain hidden units, and frequencies, as the product's file holds them."""
        weights = self.weights.detach().numpy() / self.scale[:, None]
        bias = self.bias.detach().numpy() - self.mean @ weights
        return {"weights": weights, "bias": bias, "frequencies": self.frequencies}


def labels_of(scores: Floats, numbers: Sequence[Sequence[int]]) -> Ints | None:
    """Phone of each frame of 50 Hz, 0 = silence, -1 = unknown; None where the text is too long."""
    text = hmm.chain(numbers)
    if hmm.shortest(text) + 2 > len(scores):
        return None
    states = text.states[hmm.align(scores, text)][::2]
    phones = np.where(states == hmm.SILENCE, 0, (states - 1) // hmm.STATES + 1)
    return np.where(states < scores.shape[1] - hmm.STATES, phones, -1)


@dataclass(frozen=True)
class Ears:
    """Hidden units of every recording, and English frames as examples for other languages."""

    hidden: Hidden
    units: Mapping[str, Floats]
    english: Floats
    phones: Ints

    def teach(self, clips: Sequence[CutRecording], language: str, rounds: int = ROUNDS) -> Regression:
        """The regression of a language from right texts."""
        inventory = Inventory.of(language)
        model = Regression(inventory, self.english.mean(0), self.english.std(0) + np.float32(1e-3))
        borrowed = shares(inventory)[self.phones]
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
        """`state_scores` of the phones of a language by the English ones that sound alike."""
        with torch.no_grad():
            logs = torch.log_softmax(self.hidden.head(torch.from_numpy(units)), 1).numpy()
        logs = np.maximum(logs, np.float32(FLOOR)) - np.float32(PRIOR) * self.hidden.frequencies
        own = [logs[:, [ARPABET[name] for name in names]].max(1) for names in inventory.alike.values()]
        return state_scores(np.stack([logs[:, 0], *own], 1), np.zeros(len(own) + 1, np.float32))


def listen(clips: Sequence[CutRecording]) -> Ears:
    """Train the hidden layer on the English recordings, and compute its units of the others."""
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
    hidden = Hidden.train(x, y)
    some = np.random.default_rng(0).permutation(len(x))[:15_000]
    units = {c.file: hidden.units(inputs[c.file]) for c in clips if c.language != "en"}
    return Ears(hidden=hidden, units=units, english=hidden.units(x[some]), phones=y[some])
