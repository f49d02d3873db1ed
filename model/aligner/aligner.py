"""A small aligner: its file, the emissions of clips, and the words that it places on them.

The file `aligner.safetensors` holds the mixtures and, as one JSON text in its metadata, what they are of: language,
phones, and the calibration of the score. Word times depend on it and on the front end alone.

Score of a word: exp(s / scale), where s is the mean over its frames of ln p(frame | text) - ln p(frame | any phones),
at most 0. `scale` is calibrated so that a clip whose lower quartile of scores is THRESHOLD fits as badly as a wrong
text fits well; that is the default of `align.min_score_ctc`. Cost: about 60 x real time a core.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from voicemill.model.aligner import hmm
from voicemill.model.aligner.features import FRAME, mfcc
from voicemill.model.aligner.mixtures import Floats, Mixtures
from voicemill.model.speech.coverage import Part, uncovered
from voicemill.model.speech.ctc_path import Emission
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.words import Alignment, Span, Unalignable
from voicemill.model.tensor_file import check_header
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import CheckpointError, ModelMissing
from voicemill.storage.units import RATE

WEIGHTS = "aligner.safetensors"
THRESHOLD = 0.2
"""Lower quartile of the word scores below which a text does not belong to its audio."""
FORMAT = 1
ENTRY = -3.0
"""Log of the price of a phone on the path of any phones."""
PIECE = 30 * RATE
"""Longest stretch whose scores of components are held at once, samples at 32 kHz."""


@dataclass(frozen=True)
class Description:
    """Language and phones of the mixtures, and the scaling of their scores."""

    language: str
    phones: tuple[str, ...]
    """Phone p has the states 1 + 3 p to 3 + 3 p; state 0 is silence."""
    margin: float = 2.0
    """Log likelihood by which a wild phone is worse than the best phone of the frame."""
    scale: float = 4.0
    """Divisor of the log ratio in the score of a word."""
    format: int = FORMAT


@dataclass(frozen=True)
class PhonePlacement:
    """Frames that words and pauses take."""

    words: list[tuple[int, int, float] | None]
    """First frame, last + 1 frame and log ratio of each word; None for one without phones."""
    pauses: list[tuple[int, int, float, float]]
    """The same of each stretch between words that has any frames, and its share that any phones would speak."""


class TrainedAligner:
    """Mixtures with their phones; places words as `CtcModel` does."""

    def __init__(self, description: Description, mixtures: Mixtures) -> None:
        self.description, self.mixtures = description, mixtures
        self._number = {phone: number for number, phone in enumerate(description.phones)}

    @classmethod
    def load(cls, file: Path) -> "TrainedAligner":
        """Read `aligner.safetensors`.

        Raises:
            ModelMissing: the file is not one that `voicemill aligner train` of this version writes.
        """
        from safetensors import SafetensorError, safe_open

        try:
            check_header(file)
            with safe_open(file, "np") as opened:
                raw = json.loads((opened.metadata() or {})["voicemill"])
                mixtures = Mixtures(*(opened.get_tensor(name) for name in ("weights", "means", "variances")))
            if raw.get("format") != FORMAT:
                raise ValueError(f"its format is {raw.get('format')}, this version reads {FORMAT}")
            raw["phones"] = tuple(raw["phones"])
            return cls(Description(**raw), mixtures)
        except (SafetensorError, CheckpointError, KeyError, TypeError, ValueError) as error:
            raise ModelMissing(
                f"{file} is no aligner of this version ({error}): train it anew with `voicemill aligner train`"
            ) from error

    def save(self, file: Path) -> None:
        """Write `aligner.safetensors`: the same aligner gives the same bytes."""
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(value) for name, value in vars(self.mixtures).items()}
        described = json.dumps(asdict(self.description), ensure_ascii=False, sort_keys=True)
        save_file(tensors, file, {"voicemill": described})

    def emissions(self, waves: Sequence[Wave], batch_s: float = 0.0) -> list[Emission]:
        """Scores of clips, float32 [samples], 32 kHz each: [frames, states], log likelihoods at 100 Hz."""
        return [Emission(torch.from_numpy(self.listen(wave)), len(wave)) for wave in waves]

    def listen(self, wave: Wave) -> Floats:
        """Scores of a clip, float32 [samples], 32 kHz -> [frames, states]."""
        return self.scores(mfcc(wave)[0])

    def scores(self, features: Floats) -> Floats:
        """Log likelihood of every frame in every state, in pieces: float32 [frames, 39] -> [frames, states]."""
        step = PIECE // FRAME
        pieces = [self.mixtures.scores(features[at : at + step]) for at in range(0, len(features), step)]
        return np.concatenate(pieces)

    def chain(self, words: Sequence[Sequence[str]]) -> hmm.Chain:
        """The chain of a text; phones that the aligner lacks are wild."""
        wild = len(self._number)
        return hmm.chain([[self._number.get(phone, wild) for phone in phones] for phones in words])

    def place(self, emissions: Sequence[Emission], words: Sequence[str], language: str) -> Alignment:
        """Words on the concatenation of clips; those without sound have no place.

        Raises:
            Unalignable: no phone of the text is one of this aligner, or the text is too long for the audio.
        """
        phones = pronounce(words, language)
        placed = self.place_phones([emission.scores.numpy() for emission in emissions], phones)
        starts, stops, offset = [], [], 0
        for emission in emissions:
            start = np.arange(len(emission.scores)) * FRAME
            starts.append(offset + np.minimum(start, emission.samples))
            stops.append(offset + np.minimum(start + FRAME, emission.samples))
            offset += emission.samples
        first, last = np.concatenate(starts), np.concatenate(stops)
        spans = tuple(
            Span(int(first[word[0]]), int(last[word[1] - 1]), self.score(word[2]), len(own)) if word else None
            for word, own in zip(placed.words, phones, strict=True)
        )
        parts = [
            Part(start=start, stop=stop, score=self.score(ratio), phones=0, spoken=spoken)
            for start, stop, ratio, spoken in placed.pauses
        ]
        for word, own in zip(placed.words, phones, strict=True):
            if word:
                parts.append(Part(start=word[0], stop=word[1], score=self.score(word[2]), phones=len(own)))
        stretches = uncovered(sorted(parts, key=lambda part: part.start))
        return Alignment(spans, tuple((int(first[start]), int(last[stop - 1])) for start, stop in stretches))

    def score(self, ratio: float) -> float:
        """Score of a word by its log ratio."""
        return math.exp(min(ratio, 0.0) / self.description.scale)

    def place_phones(self, scores: Sequence[Floats], words: Sequence[Sequence[str]]) -> PhonePlacement:
        """Frames of words, given as phones, over the clips end to end.

        Raises:
            Unalignable: see `place`.
        """
        if not any(phone in self._number for word in words for phone in word):
            raise Unalignable(f"no word of the text has a phone that the aligner of {self.description.language} knows")
        text = self.chain(words)
        emitted = np.concatenate(scores)
        if hmm.shortest(text) + 2 > len(emitted):
            raise Unalignable(f"{hmm.shortest(text) // hmm.STATES} phones do not fit into {len(emitted) / 100:.1f} s")
        if not np.isfinite(emitted).all():
            raise ValueError("the scores of the aligner are not finite")
        wild = emitted[:, 1:].max(1, keepdims=True) - np.float32(self.description.margin)
        path = hmm.align(np.concatenate([emitted, np.repeat(wild, hmm.STATES, 1)], 1), text)
        known = text.states < emitted.shape[1]
        any_phones, best = hmm.free(emitted, ENTRY)
        spoken = any_phones != hmm.SILENCE
        own = emitted[np.arange(len(emitted)), np.where(known[path], text.states[path], 0)]
        ratios = own - best
        owners = text.words[path]
        placed: list[tuple[int, int, float] | None] = []
        for number, word in enumerate(words):
            frames = np.flatnonzero(owners == number)
            judged = frames[known[path[frames]]]
            ratio = float(ratios[judged].mean()) if len(judged) else math.nan
            placed.append((int(frames[0]), int(frames[-1]) + 1, ratio) if len(word) else None)
        usual = float(np.median([word[2] for word in placed if word and not math.isnan(word[2])]))
        judged_words = [word and (*word[:2], usual if math.isnan(word[2]) else word[2]) for word in placed]
        edges = np.flatnonzero(np.diff(owners < 0, prepend=False, append=False))
        pauses = [
            (int(a), int(b), float(ratios[a:b].mean()), float(spoken[a:b].mean()))
            for a, b in zip(edges[::2], edges[1::2], strict=True)
        ]
        return PhonePlacement(judged_words, pauses)
