"""Figures of an aligner on clips that it was not trained on: boundaries, and texts that are not those of the audio.

Boundaries: JOINED clips are set end to end with pauses of known length between them and aligned as one. The last word
of each must stop, and the first one start, where its clip does.
Speech with word times from elsewhere (a synthesiser) is measured word by word. Texts: every clip is aligned with its
own text, with those of other clips, and with one whose second half is another's; the area under the ROC is the share of
(right, wrong) pairs whose scores stand in the right order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.model.aligner.aligner import THRESHOLD, TrainedAligner
from voicemill.model.aligner.features import FRAME
from voicemill.model.aligner.mixtures import Floats
from voicemill.model.speech.words import Unalignable
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Samples

JOINED = 3
DEFAULT = -6.0
"""Threshold that many languages come near to."""
Text = Sequence[Sequence[str]]
"""Phones of each word."""


@dataclass(frozen=True)
class Spoken:
    """A clip with the phones of its words."""

    speaker: str
    wave: Wave
    """float32 [samples], 32 kHz"""
    words: tuple[str, ...]
    """Words as written."""
    text: Text


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A clip with known times of some of its words."""

    wave: Wave
    text: Text
    starts: tuple[tuple[int, Samples], ...]
    """Number of a word, and its true start."""
    stops: tuple[tuple[int, Samples], ...]


@dataclass(frozen=True)
class Boundaries:
    """Absolute errors of word boundaries."""

    count: int
    median_ms: float
    p90_ms: float
    within_50_ms: float
    """Share."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """How well right and wrong texts are told apart."""

    right: int
    wrong: int
    auc: float | None
    """None where all clips have the same text."""
    auc_half: float | None
    """Area under the ROC for texts of which only the second half is wrong."""
    right_kept: float | None
    """Share of right texts over the threshold."""
    wrong_found: float | None
    """Share of wrong texts under the threshold, or without any path."""


def quality(aligner: TrainedAligner, scores: Floats, text: Text) -> float:
    """Lower quartile of the log ratios of the words; -inf where the text has no path."""
    try:
        placed = aligner.place_phones([scores], text).words
    except Unalignable:
        return -np.inf
    return float(np.quantile([word[2] for word in placed if word], 0.25))


@dataclass(frozen=True)
class Ratios:
    """Qualities of clips with their own texts, with other ones, and with texts half of which is another's."""

    right: Floats
    wrong: Floats
    half: Floats


def ratios(aligner: TrainedAligner, clips: Sequence[Spoken], others: Sequence[Spoken], tries: int = 3) -> Ratios:
    """Qualities of all clips with their own texts, and with `tries` texts each of `others` (clips of any kind)."""
    right, wrong, half = [], [], []
    for number, clip in enumerate(clips):
        scores, own = aligner.listen(clip.wave), list(clip.text)
        right.append(quality(aligner, scores, own))
        for shift in range(tries):
            other = list(others[(number * tries + shift) % len(others)].text)
            if other != own:
                wrong.append(quality(aligner, scores, other))
            mixed = own[: len(own) // 2] + other[len(other) // 2 :]
            if not shift and mixed != own:
                half.append(quality(aligner, scores, mixed))
    return Ratios(*(np.array(values, np.float32) for values in (right, wrong, half)))


def auc(right: Floats, wrong: Floats) -> float:
    """Share of pairs in the right order, ties half; NaN without pairs."""
    if not len(right) or not len(wrong):
        return float("nan")
    pairs = np.sign(right[:, None] - np.nan_to_num(wrong, neginf=-1e9)[None])
    return float((pairs.mean() + 1) / 2)


def threshold(ratios: Ratios, known: bool = False) -> float:
    """The log ratio that parts right from wrong texts; without wrong ones, DEFAULT.

    The shares of right texts under it and of wrong ones over it are least in sum; of the thresholds that do so it is
    the middle one. With `known`, all clips are of voices that taught, whose right texts fit better than those of new
    voices (zh, one teacher: half of the new ones' right texts would pass): it lies half way between the medians, at
    most twice as low as the worst right text.
    """
    paths = np.sort(ratios.wrong[np.isfinite(ratios.wrong)])
    right = np.sort(ratios.right[np.isfinite(ratios.right)])
    if not len(paths) or not len(right):
        return DEFAULT
    if known:
        return max(float(np.median(right) + np.median(paths)) / 2, 2 * float(right[0]))
    edges = np.unique(np.concatenate([paths, right]))
    lost, kept = np.searchsorted(right, edges), len(paths) - np.searchsorted(paths, edges)
    errors = lost / len(right) + kept / len(ratios.wrong)
    best = int(np.argmin(errors))  # right texts from here on are kept, wrong ones below are found
    return float(edges[max(best - 1, 0)] + edges[best]) / 2


def texts(aligner: TrainedAligner, ratios: Ratios) -> Texts:
    """Figures of the rejection at the threshold of the aligner."""
    least = float(np.log(THRESHOLD)) * aligner.description.scale
    shares = {
        "auc": auc(ratios.right, ratios.wrong),
        "auc_half": auc(ratios.right, ratios.half),
        "right_kept": _share(ratios.right >= least),
        "wrong_found": _share(ratios.wrong < least),
    }
    known = {name: None if np.isnan(share) else round(share, 4) for name, share in shares.items()}
    return Texts(right=len(ratios.right), wrong=len(ratios.wrong), **known)


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def joined(clips: Sequence[Spoken], seed: int = 0) -> list[Timed]:
    """Clips of each speaker set end to end by `JOINED`, at one level, with 0.15 to 0.5 s of faint noise around each."""
    random = np.random.default_rng(seed)

    def pause() -> Wave:
        return np.zeros(int(random.uniform(0.15, 0.5) * RATE), np.float32)

    chains = []
    for speaker in sorted({clip.speaker for clip in clips}):
        own = [clip for clip in clips if clip.speaker == speaker]
        order = random.permutation(len(own))
        for at in range(0, len(order), JOINED):
            pieces, starts, stops = [pause()], [], []
            text: list[Sequence[str]] = []
            for clip in (own[number] for number in order[at : at + JOINED]):
                wave, begin = speech_only(clip.wave), sum(map(len, pieces))
                sounded = [len(text) + number for number, phones in enumerate(clip.text) if phones]
                starts.append((sounded[0], begin))
                stops.append((sounded[-1], begin + len(wave)))
                text += clip.text
                pieces += [wave, pause()]
            whole = np.concatenate(pieces)
            whole += random.standard_normal(len(whole)).astype(np.float32) * np.float32(1e-4)
            chains.append(Timed(wave=whole, text=text, starts=tuple(starts), stops=tuple(stops)))
    return chains


def speech_only(wave: Wave) -> Wave:
    """The clip from its first to its last loud sound, at a level of 0.05.

    Loud: over 50 ms, at least two fifths of the way in decibels from the quietest tenth to the loudest twentieth. Noise
    before and after is cut off, and with it some of a soft first or last sound: the rest begins and ends with speech.
    """
    frames = len(wave) // FRAME
    power = (wave[: frames * FRAME].reshape(frames, FRAME) ** 2).mean(1)
    level = 10 * np.log10(np.convolve(power, np.ones(5) / 5, "same") + 1e-10)
    noise, speech = np.quantile(level, (0.1, 0.95))
    loud = np.flatnonzero(level >= noise + 0.4 * (speech - noise))
    cut = wave[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
    scaled: Wave = cut * np.float32(0.05 / max(float(np.sqrt((cut**2).mean())), 1e-6))
    return scaled


def boundaries(aligner: TrainedAligner, clips: Iterable[Timed]) -> Boundaries:
    """Errors of the known starts and stops, of one clip at least; without a path every one of them counts as 1 s."""
    errors: list[float] = []
    for clip in clips:
        try:
            placed = aligner.place_phones([aligner.listen(clip.wave)], clip.text).words
        except Unalignable:
            errors += [1000.0] * (len(clip.starts) + len(clip.stops))
            continue
        for side, known in enumerate((clip.starts, clip.stops)):
            for number, truth in known:
                word = placed[number]
                errors.append(abs(word[side] * FRAME - truth) / RATE * 1000 if word else 1000.0)
    values = np.array(errors)
    median, p90 = (round(float(np.quantile(values, q)), 1) for q in (0.5, 0.9))
    return Boundaries(len(values), median, p90, round(float((values <= 50).mean()), 4))
