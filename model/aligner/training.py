"""Training of a small aligner: flat start, then rounds of alignment and estimation (Viterbi training).

The loud frames of every clip are divided evenly over the states of its text, and the others are silence. ROUNDS of
Viterbi alignment with single Gaussians follow; then the components are doubled up to COMPONENTS, with alignments in
between. From there on each clip is used in copies with other vocal tracts and in noise (`recipe.copies`), so that a few
speakers stand for more. Cost: 15 s of one core for 10 min of speech.
Source: Young et al., HTK Book 3.4, chapters 2.3 and 8; Jaitly and Hinton 2013 (VTLN as augmentation).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.model.aligner import mixtures
from voicemill.model.aligner.features import DIMS
from voicemill.model.aligner.hmm import SILENCE, Chain, align_all
from voicemill.model.aligner.mixtures import Floats, Ints, Mixtures

ROUNDS = 10
COMPONENTS = 4
TOGETHER = 16
"""Clips of similar length that are aligned in one pass."""


@dataclass(frozen=True)
class Clip:
    """One utterance to learn from."""

    features: tuple[Floats, ...]
    """float32 [frames, dims] of each copy, the plain one first."""
    loud: NDArray[np.bool_]
    text: Chain


def train(clips: Sequence[Clip], states: int, progress: Callable[[str], None] = lambda _: None) -> Mixtures:
    """Mixtures of `states` states from clips, each longer than its text needs (`hmm.shortest`)."""
    plain = np.concatenate([clip.features[0] for clip in clips])
    model = mixtures.single(plain, np.concatenate([flat(clip) for clip in clips]), states)
    for number in range(ROUNDS):
        model = mixtures.single(plain, realign(model, clips, 1), states)
        progress(f"round {number + 1} of {ROUNDS}")
    everything = np.concatenate([copy for clip in clips for copy in clip.features])
    assigned = realign(model, clips)
    model = mixtures.single(everything, assigned, states)
    while model.weights.shape[1] < COMPONENTS:
        model = mixtures.split(model, everything, assigned)
        for _ in range(2):
            assigned = realign(model, clips)
            model = mixtures.refined(model, everything, assigned, 2)
        progress(f"{model.weights.shape[1]} components")
    return model


def flat(clip: Clip) -> Ints:
    """State of every frame, evenly over the states of the text between the first and the last loud frame."""
    states = np.full(len(clip.loud), SILENCE)
    spoken = clip.text.states[clip.text.words >= 0]
    inner = np.flatnonzero(clip.loud)
    if len(inner) < len(spoken):
        inner = np.arange(len(states))
    states[inner] = spoken[np.arange(len(inner)) * len(spoken) // len(inner)]
    return states


def realign(model: Mixtures, clips: Sequence[Clip], copies: int | None = None) -> Ints:
    """State of every frame of all copies, or the first `copies`, of all clips by Viterbi alignment with a model.

    Copies of one clip share the path that is best for all of them together.
    """
    paths: dict[int, Ints] = {}
    order = sorted(range(len(clips)), key=lambda number: len(clips[number].loud))
    for at in range(0, len(order), TOGETHER):
        group = order[at : at + TOGETHER]
        scores = [np.mean([model.scores(copy) for copy in clips[n].features[:copies]], axis=0) for n in group]
        paths |= zip(group, align_all(scores, [clips[n].text for n in group]), strict=True)
    states = []
    for number, clip in enumerate(clips):
        states += [clip.text.states[paths[number]]] * len(clip.features[:copies])
    return np.concatenate(states)


def nothing() -> Mixtures:
    """Mixtures without a state."""
    empty = np.zeros((0, 1, DIMS), np.float32)
    return Mixtures(np.zeros((0, 1), np.float32), empty, empty)
