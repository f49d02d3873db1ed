"""A flat start on a made-up language of three phones finds where they are."""

import numpy as np

from voicemill.model.aligner.aligner import Description, TrainedAligner
from voicemill.model.aligner.hmm import STATES, chain
from voicemill.model.aligner.training import Clip, flat, train

PHONES = 3
DIMS = 39


def utterance(random: np.random.Generator, centres: np.ndarray) -> tuple[Clip, list[list[int]], list[tuple[int, int]]]:
    """A clip of two to five words, its text, and the frames of each word."""
    words = [random.integers(0, PHONES, random.integers(1, 4)).tolist() for _ in range(random.integers(2, 6))]
    frames: list[int] = [0] * int(random.integers(5, 30))
    spans = []
    for word in words:
        start = len(frames)
        for phone in word:
            for state in range(STATES):
                frames += [1 + STATES * phone + state] * int(random.integers(1, 7))
        spans.append((start, len(frames)))
        frames += [0] * int(random.choice([0, 0, 12]))
    frames += [0] * int(random.integers(5, 30))
    states = np.array(frames)
    features = centres[states] + random.normal(size=(len(states), DIMS))
    return Clip((features.astype(np.float32),), states > 0, chain(words)), words, spans


def test_a_flat_start_recovers_the_times_of_words() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(1 + PHONES * STATES, DIMS))
    made = [utterance(random, centres) for _ in range(60)]
    model = train([clip for clip, _, _ in made[:50]], 1 + PHONES * STATES)
    aligner = TrainedAligner(Description("xx", ("a", "b", "c")), model)
    errors, right, wrong = [], [], []
    for number, (clip, words, spans) in enumerate(made[50:]):
        scores = aligner.scores(clip.features[0])
        placed = [word for word in aligner.place_phones([scores], named(words)).words if word]
        errors += [
            abs(a - b) for word, span in zip(placed, spans, strict=True) for a, b in zip(word, span, strict=False)
        ]
        right += [word[2] for word in placed]
        other = named(made[number][1])
        if sum(map(len, other)) * STATES + 2 <= len(scores):
            wrong += [word[2] for word in aligner.place_phones([scores], other).words if word]
    assert np.median(errors) == 0
    assert np.quantile(errors, 0.9) <= 2
    assert np.median(right) > -1 > np.median(wrong)


def named(words: list[list[int]]) -> list[list[str]]:
    return [["abc"[phone] for phone in word] for word in words]


def test_the_flat_start_divides_loud_frames_evenly() -> None:
    loud = np.array([False, True, True, True, False, True, True, True, False])
    clip = Clip((np.zeros((9, DIMS), np.float32),), loud, chain([[0], [1]]))
    assert flat(clip).tolist() == [0, 1, 2, 3, 0, 4, 5, 6, 0]


def test_training_is_repeatable() -> None:
    def once() -> bytes:
        random = np.random.default_rng(3)
        centres = random.normal(size=(1 + PHONES * STATES, DIMS))
        clips = [utterance(random, centres)[0] for _ in range(8)]
        return train(clips, 1 + PHONES * STATES).means.tobytes()

    assert once() == once()
