"""Words on the emissions of a CTC model: the text as its characters, the best path, places and scores.

What: characters in the case of the dictionary, "|" between words, and a wildcard for every character that the
dictionary lacks (digits, punctuation), whose score is the best non-blank one of the frame. Viterbi is
`torchaudio.functional.forced_align`.
Frames lie on their true grid (hop 20 ms, centre of the receptive field); whisperx stretches them over the clip. A word
lasts until the next token begins ("|", where the model has one), at most TAIL frames after its own last.
Speech that no word covers: between the characters of the text, the model's own best labels spell FEWEST ones or more.
Source: Kürzinger et al. 2020 (CTC segmentation); Pratap et al. 2023 (MMS, forced alignment).
"""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from voicemill.model.speech.words import WITHOUT_SPACES, Alignment, Span, Unalignable, is_sounded, spoken_english
from voicemill.storage.units import RATE, Frames, Samples

Ints = NDArray[np.int64]
Stretch = tuple[Frames, Frames]

CTC_RATE = 16_000
HOP, FIELD = 320, 400
"""Samples at 16 kHz: step and receptive field of a frame, the same in every wav2vec 2.0 model."""
TAIL: Frames = 10
"""Longest sound of a word after its last letter, 200 ms: CTC emits a letter at one frame and then blanks."""
FEWEST = 4
"""Characters of the model's own reading that make speech of a gap: next to a word stray ones are usual."""
FASTEST = 0.8
"""Tokens per frame above which a text cannot be that of the audio: 40 letters a second."""


@dataclass(frozen=True)
class Emission:
    """Log probabilities of the labels over one clip."""

    scores: torch.Tensor
    """float32 [frames, labels], natural log."""
    samples: Samples
    """Length of the clip at 32 kHz."""


def tokens_of(words: Sequence[str], language: str, dictionary: dict[str, int]) -> list[tuple[int | None, int]]:
    """Label and number of the word of every character; label None = wildcard, word -1 = separator.

    English words are spelt as they are read (`spoken_english`), with a separator between spoken words.
    """
    separator = dictionary.get("|") if language not in WITHOUT_SPACES else None
    english = spoken_english(words) if language == "en" else None
    parts = [[part.text for part in word] for word in english] if english else [[word] for word in words]
    tokens: list[tuple[int | None, int]] = []
    for number, part in ((number, part) for number, word in enumerate(parts) for part in word):
        if tokens and separator is not None:
            tokens.append((separator, -1))
        tokens += [(dictionary.get(char), number) for char in part.lower()]
    return tokens


def place_words(
    emissions: Sequence[Emission], words: Sequence[str], language: str, dictionary: dict[str, int], blank: int
) -> Alignment:
    """Words on the concatenation of clips; those without a letter or digit have no place.

    English words are placed as they are read: `$12.50` spans five spoken words.

    The score of a word is the mean probability of its characters at the frames that emit them, without wildcards.

    Raises:
        Unalignable: no character of the text is in the dictionary, or the text is too long for the audio.
        ValueError: the emissions hold NaN or infinity.
    """
    tokens = tokens_of(words, language, dictionary)
    if not any(label is not None for label, word in tokens if word >= 0):
        raise Unalignable("no character of the text is in the dictionary of the model")
    scores = torch.cat([emission.scores for emission in emissions])
    if len(tokens) > FASTEST * len(scores):
        raise Unalignable(f"{len(tokens)} characters do not fit into {len(scores) / 50:.1f} s of audio")
    if not scores.isfinite().all():
        raise ValueError("the emissions of the model are not finite")
    star = scores.shape[1]
    if any(label is None for label, _ in tokens):
        others = torch.cat([scores[:, :blank], scores[:, blank + 1 :]], 1)
        scores = torch.cat([scores, others.max(1, keepdim=True).values], 1)
    path, probabilities = viterbi(scores, [star if label is None else label for label, _ in tokens], blank)
    starts, stops = _grid(emissions)
    spans: list[Span | None] = [None] * len(words)
    frames = _frames_of(path, len(tokens))
    for number, word in enumerate(words):
        own = [n for n, (_, of) in enumerate(tokens) if of == number]
        if not own or (language != "en" and not is_sounded(word)):
            continue
        last = frames[own[-1]][1]
        following = frames[own[-1] + 1][0] if own[-1] + 1 < len(tokens) else last
        known = [n for n in own if tokens[n][0] is not None] or own
        values = torch.cat([probabilities[slice(*frames[n])] for n in known])
        stop = max(last, min(following, last + TAIL))
        spans[number] = Span(int(starts[frames[own[0]][0]]), int(stops[stop - 1]), float(values.mean()), len(own))
    best = scores[:, :star].argmax(1).numpy()
    heard = (best != blank) & (best != dictionary.get("|", blank))
    stretches = _uncovered(heard, best, frames)
    return Alignment(tuple(spans), tuple((int(starts[start]), int(stops[stop - 1])) for start, stop in stretches))


def _uncovered(heard: NDArray[np.bool_], best: Ints, frames: Sequence[tuple[Frames, Frames]]) -> Iterator[Stretch]:
    """Stretches between the tokens of the text in which the model itself hears `FEWEST` characters or more.

    `heard`: bool [frames], the best label is a character; `best`: that label; `frames`: see `_frames_of`.
    """
    edges = [0, *(edge for first, last in frames for edge in (first, last)), len(heard)]
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        own = start + np.flatnonzero(heard[start:stop])
        characters = sum(1 for a, b in itertools.pairwise([-2, *own.tolist()]) if b != a + 1 or best[b] != best[a])
        if characters >= FEWEST:
            yield int(own[0]), int(own[-1]) + 1


def viterbi(scores: torch.Tensor, labels: Sequence[int], blank: int) -> tuple[Ints, torch.Tensor]:
    """Best CTC path of `labels` through float32 [frames, labels].

    Returns the number of the token that each frame emits, -1 for blank, and its probability.

    Raises:
        Unalignable: labels, and blanks between equal neighbours, outnumber the frames.
    """
    import torchaudio

    need = len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
    if need > len(scores):
        raise Unalignable(f"{need} frames are needed and the audio has {len(scores)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchaudio 2.8 announces the refactoring of 2.9
        path, values = torchaudio.functional.forced_align(
            scores[None], torch.tensor([list(labels)], dtype=torch.int32), blank=blank
        )
    emitted = path[0].numpy()
    # a token begins where a label begins: after another label, or after a blank
    begins = (emitted != blank) & np.concatenate([[True], emitted[1:] != emitted[:-1]])
    return np.where(emitted == blank, -1, np.cumsum(begins) - 1), values[0].exp()


def _frames_of(path: Ints, tokens: int) -> list[tuple[Frames, Frames]]:
    """First and last + 1 frame of each token."""
    order = np.flatnonzero(path >= 0)
    firsts = np.searchsorted(path[order], np.arange(tokens), "left")
    lasts = np.searchsorted(path[order], np.arange(tokens), "right")
    return [(int(order[a]), int(order[b - 1]) + 1) for a, b in zip(firsts, lasts, strict=True)]


def _grid(emissions: Sequence[Emission]) -> tuple[Ints, Ints]:
    """Start and stop of every frame in the concatenation of the clips, samples at 32 kHz."""
    scale = RATE // CTC_RATE
    lead = (FIELD - HOP) // 2
    starts, stops, offset = [], [], 0
    for emission in emissions:
        start = (np.arange(emission.scores.shape[0]) * HOP + lead) * scale
        starts.append(offset + np.minimum(start, emission.samples))
        stops.append(offset + np.minimum(start + HOP * scale, emission.samples))
        offset += emission.samples
    return np.concatenate(starts), np.concatenate(stops)
