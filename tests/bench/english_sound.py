"""The classifier that tells English by its sound: tested on other speakers and other sources, then trained on all.

Each recording is one example: the mean encoder state of its speech, and the score of its text. Printed: English
recordings lost and others kept at the threshold, where the classifier met neither the speaker, nor the source, nor the
language. `--write` writes the weights of the package, trained on all.

    python tests/bench/english_sound.py [--write]
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from cut_speech import CutRecording, cut_recordings
from numpy.typing import NDArray
from scipy.optimize import minimize

from voicemill.model.embedded import WHISPER
from voicemill.model.speech import english_sound
from voicemill.model.speech.guards import Limits
from voicemill.model.speech.whisper import Whisper
from voicemill.tasks.stages import transcribe

ROOT = Path(__file__).parents[2]
C, FOLDS = 0.1, 10
Floats = NDArray[np.float64]


def train(states: Floats, english: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Weights [dims] and bias of a logistic regression on standardised states, both classes weighted alike."""
    mean, scale = states.mean(0), states.std(0) + 1e-9
    inputs, signs = (states - mean) / scale, np.where(english, 1.0, -1.0)
    shares = len(english) / 2 / np.where(english, english.sum(), (~english).sum())

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margins = signs * (inputs @ parameters[:-1] + parameters[-1])
        slopes = -signs * shares / (1 + np.exp(margins))
        value = 0.5 * parameters[:-1] @ parameters[:-1] + C * (shares * np.logaddexp(0, -margins)).sum()
        return value, np.append(parameters[:-1] + C * (inputs.T @ slopes), C * slopes.sum())

    best = minimize(loss, np.zeros(states.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 2000}).x
    weights = best[:-1] / scale
    return weights, float(best[-1] - mean @ weights)


def folds(groups: Sequence[str], count: int) -> Iterator[NDArray[np.bool_]]:
    """Masks of the examples that are tested together: whole groups."""
    names = np.array(sorted(set(groups)))
    order = np.random.default_rng(0).permutation(len(names))
    for part in np.array_split(order, min(count, len(names))):
        yield np.isin(groups, names[part])


def main() -> None:
    whisper = Whisper(WHISPER.folder(), "cpu")
    recordings: list[CutRecording] = []
    states, scores = [], []
    for recording in cut_recordings(context_s=transcribe.Settings().context_s):
        if recording.language in ("und", "en+zh"):
            continue
        encoded = [whisper.encode(wave) for wave in recording.waves]
        lengths = [one.seconds for one in encoded]
        texts = whisper.decode(encoded, "en", limits=Limits())
        recordings.append(recording)
        states.append(np.average([one.mean() for one in encoded], axis=0, weights=lengths))
        scores.append(float(np.average([text.score for text in texts], weights=lengths)))
    means, english = np.array(states, np.float64), np.array([r.language == "en" for r in recordings])
    table = {}
    unmet = [r.speaker if r.language == "en" else r.language for r in recordings]
    for name in ("speaker", "source", "language"):
        groups = [getattr(r, name) for r in recordings] if name != "language" else unmet
        found = np.zeros(len(recordings))
        for test in folds(groups, FOLDS if name == "speaker" else len(groups)):
            weights, bias = train(means[~test], english[~test])
            odds = means[test] @ weights + bias
            found[test] = [english_sound.evidence(o, s) for o, s in zip(odds, np.array(scores)[test], strict=True)]
        kept = found >= english_sound.LEAST
        table[name] = {
            "english": int(english.sum()),
            "english lost": int((english & ~kept).sum()),
            "others": int((~english).sum()),
            "others kept": int((~english & kept).sum()),
        }
        print(f"unmet {name}: {table[name]}")
        for at in np.flatnonzero(english != kept):
            print(f"   {found[at]:6.2f} {recordings[at].language} {recordings[at].file}")
    weights, bias = train(means, english)
    if "--write" in sys.argv:
        np.savez(english_sound.WEIGHTS, weights=weights.astype(np.float32), bias=np.float32(bias))
    out = ROOT / "bench/english_sound.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(table))


if __name__ == "__main__":
    main()
