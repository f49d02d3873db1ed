"""An aligner made from utterances: who teaches it, what calibrates it, what measures it, and the folder it lies in.

Speakers are parted before anything is trained: those with the most speech teach; of the others some calibrate the score
and some only measure. Where that leaves fewer than FEW clips to calibrate or FEWEST to measure with, every eighth clip
of the teaching speakers is kept out for each, and the figures say that these voices were known.

The folder: `aligner.safetensors` (all that word times depend on), `metrics.json` (the figures), `card.json` (corpus
version and speakers, from which `voicemill forget` knows the models that used a speaker). The same utterances give the
same bytes on the same machine with the same number of threads.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.aligner import measuring, training
from voicemill.model.aligner.aligner import THRESHOLD, WEIGHTS, Description, TrainedAligner
from voicemill.model.aligner.features import FRAME, WARPS, mfcc
from voicemill.model.aligner.hmm import STATES, shortest
from voicemill.model.aligner.measuring import Spoken
from voicemill.model.aligner.mixtures import Floats
from voicemill.model.speech.pronunciation import WILD
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import NoData
from voicemill.storage.files import write_json
from voicemill.storage.units import RATE, Seconds

LEAST: Seconds = 60.0
"""Least speech to train on."""
MOST: Seconds = 3600.0
"""Most speech to train on: more brings little to so small a model."""
SHARE = 0.15
"""Largest share of the speech that calibrates, and that measures."""
FIRST = 0.25
"""The same for a single speaker, so that four who speak equally long are parted too."""
FEW, FEWEST = 4, 12
"""Fewest clips to calibrate and to measure with."""
TRIES = 8
"""Wrong texts for each clip that calibrates."""
EVERY = 8
SEEN = 8
"""Fewest occurrences of a phone; a rarer one is wild."""
SEED = 0


@dataclass(frozen=True)
class Parts:
    """Clips by what they are for."""

    train: tuple[Spoken, ...]
    calibrate: tuple[Spoken, ...]
    new_speakers: tuple[Spoken, ...]
    """Measured: voices that neither train nor calibrate."""
    known_speakers: tuple[Spoken, ...]
    """Measured: other clips of speakers who train; empty where the others are enough."""

    @property
    def measured(self) -> tuple[Spoken, ...]:
        """All clips that only measure."""
        return self.new_speakers + self.known_speakers


def part(clips: Sequence[Spoken]) -> Parts:
    """Part clips by speaker; the same clips in the same order give the same parts."""
    by_speaker: dict[str, list[Spoken]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    seconds = {name: sum(len(clip.wave) for clip in own) / RATE for name, own in by_speaker.items()}
    total = sum(seconds.values())
    largest = max(sorted(seconds), key=seconds.__getitem__)
    rest = sorted(by_speaker.keys() - {largest}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    groups: dict[str, list[str]] = {"measure": [], "calibrate": [], "train": [largest]}
    for number, name in enumerate(rest):
        for goal in ("measure", "calibrate") if number % 2 == 0 else ("calibrate", "measure"):
            share = SHARE if groups[goal] else FIRST
            if sum(seconds[other] for other in groups[goal]) + seconds[name] <= share * total:
                groups[goal].append(name)
                break
        else:
            groups["train"].append(name)
    train, calibrate, new = (
        [c for name in groups[g] for c in by_speaker[name]] for g in ("train", "calibrate", "measure")
    )
    known: list[Spoken] = []
    kept_out: dict[int, list[Spoken]] = {}
    if len(calibrate) < FEW:
        kept_out[0] = calibrate
    if len(new) < FEWEST:
        kept_out[EVERY // 2] = known
    for number, clip in enumerate(train):
        kept_out.get(number % EVERY, []).append(clip)
    train = [clip for number, clip in enumerate(train) if number % EVERY not in kept_out]
    return Parts(tuple(train), tuple(calibrate), tuple(new), tuple(known))


def copies(wave: Wave, seed: int) -> tuple[tuple[Floats, ...], NDArray[np.bool_]]:
    """Features of a clip in silence, and of copies with other vocal tracts in noise; which frames are loud."""
    random = np.random.default_rng([SEED, seed])
    edge = np.zeros(RATE // 5, np.float32)
    padded = np.concatenate([edge, wave, edge])
    level = float(np.sqrt((wave**2).mean()))
    features = []
    for number, warp in enumerate(WARPS):
        noise = random.standard_normal(len(padded)).astype(np.float32)
        if number % 2:  # one of low noise, one of white
            noise = np.convolve(noise, np.ones(32) / 32, "same").astype(np.float32)
        decibels = random.uniform(20, 45)
        gain = level * 10 ** (-decibels / 20) / max(float(noise.std()), 1e-9)
        features.append(mfcc(padded + (noise * np.float32(gain) if number else 0), warp))
    return tuple(matrix for matrix, _ in features), features[0][1]


def make(
    clips: Sequence[Spoken], language: str, progress: Callable[[str], None] = lambda _: None
) -> tuple[TrainedAligner, Parts]:
    """Train and calibrate an aligner.

    Raises:
        NoData: there is less than `LEAST` of speech.
    """
    parts = part(clips)
    if sum(len(clip.wave) for clip in parts.train) < LEAST * RATE:
        have = sum(len(clip.wave) for clip in clips) / RATE
        raise NoData(
            f"{have:.0f} s of {language!r} with text, of which a part is kept out: {LEAST:.0f} s are needed to train"
        )
    counts = Counter(phone for clip in parts.train for word in clip.text for phone in word)
    phones = tuple(sorted(phone for phone, count in counts.items() if count >= SEEN and phone != WILD))
    blank = TrainedAligner(Description(language, phones), training.nothing())
    lessons = []
    for number, clip in enumerate(parts.train):
        if all(phone in phones for word in clip.text for phone in word):
            lesson = training.Clip(*copies(clip.wave, number), blank.chain(clip.text))
            if shortest(lesson.text) + 2 <= len(lesson.loud):
                lessons.append(lesson)
    if sum(len(lesson.loud) for lesson in lessons) * FRAME < LEAST * RATE:
        raise NoData(
            f"{len(lessons)} of {len(parts.train)} utterances in {language!r} have a text of phones that occur {SEEN} "
            f"times and fit into their audio: {LEAST:.0f} s of them are needed to train. Give more transcripts, with "
            "numbers written out"
        )
    progress(f"{len(lessons)} clips, {len(phones)} phones")
    mixtures = training.train(lessons, 1 + STATES * len(phones), progress)
    aligner = TrainedAligner(blank.description, mixtures)
    ratios = measuring.ratios(aligner, parts.calibrate, clips, TRIES)
    teachers = {clip.speaker for clip in parts.train}
    known = all(clip.speaker in teachers for clip in parts.calibrate)
    least = min(measuring.threshold(ratios, known), -0.5)
    margin = max(1.0, -float(np.median(ratios.right)))
    calibrated = replace(aligner.description, scale=round(least / float(np.log(THRESHOLD)), 4), margin=round(margin, 4))
    return TrainedAligner(calibrated, mixtures), parts


def metrics(aligner: TrainedAligner, parts: Parts) -> dict[str, Any]:
    """Figures on the clips that were kept out, new and known voices apart."""
    figures: dict[str, Any] = {"language": aligner.description.language, "phones": len(aligner.description.phones)}
    for name, clips in vars(parts).items():
        seconds = round(sum(len(clip.wave) for clip in clips) / RATE, 1)
        group: dict[str, Any] = {
            "clips": len(clips),
            "speakers": len({clip.speaker for clip in clips}),
            "seconds": seconds,
        }
        if name.endswith("speakers") and clips:
            group["joints"] = asdict(measuring.boundaries(aligner, measuring.joined(clips)))
            group["texts"] = asdict(measuring.texts(aligner, measuring.ratios(aligner, clips, parts.train)))
        figures[name] = group
    return figures


def write(
    folder: Path,
    aligner: TrainedAligner,
    figures: Mapping[str, Any],
    *,
    speakers: Iterable[str],
    version: int,
    recipe: str,
) -> None:
    """Fill a folder with the aligner, its figures and its card."""
    aligner.save(folder / WEIGHTS)
    write_json(folder / "metrics.json", figures, indent=1)
    heard = sorted(set(speakers))
    card = {"kind": "aligner", "language": aligner.description.language, "corpus_version": version, "recipe": recipe,
            "speakers": heard, "heard": heard}  # fmt: skip
    write_json(folder / "card.json", card, indent=1)
