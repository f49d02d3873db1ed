"""Evidence that a segment is English, by its sound, for the embedded recogniser, which only knows English.

What: the mean of the recogniser's encoder states over the speech, a linear classifier, and the score of the text: for
other languages the recogniser writes fluent English with a score that is mostly lower. Neither is enough alone.
Method: logistic regression (L2, C = 0.1, both classes weighted alike) on the standardised means of the recordings of
tests/bench/english_sound.py, which trains it, tests it on other speakers and other sources, and writes the weights.
Cost: nothing beside the encoder, whose states the decoder needs anyway.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.model.speech.whisper import Encoded

WEIGHTS = Path(__file__).with_name("english_sound.npz")
"""`weights`: float32 [dims]; `bias`: float32 []."""
LEAST, LEAST_STATED = 0.35, -2.0
"""Least evidence of English: where no language is stated, and where English is. At the first, none of 252 English
recordings by speakers that the classifier had not met is lost, and none of 278 others kept; one English one is lost of
sources that it had not met, two German ones are kept where it had met no German."""
SCORE_WEIGHT, SCORE_CENTRE, BEST_SCORE = 6.0, -0.6, -0.3
"""Weight of the score; the score that is evidence for neither; the score above which more is no further evidence."""


def log_odds(segments: Sequence[Encoded]) -> float:
    """Log odds of English against other languages by the sound of an upload's segments; long ones count more."""
    weights, bias = _weights()
    means = np.stack([segment.mean() for segment in segments])
    mean = np.average(means, axis=0, weights=[segment.seconds for segment in segments])
    return float(mean @ weights + bias)


def evidence(odds: float, score: float) -> float:
    """Evidence of English from the log odds of the sound and the mean log probability of the texts."""
    return odds + SCORE_WEIGHT * (min(score, BEST_SCORE) - SCORE_CENTRE)


@cache
def _weights() -> tuple[NDArray[np.float32], float]:
    with np.load(WEIGHTS) as file:
        return file["weights"], float(file["bias"])
