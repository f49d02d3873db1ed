"""Mixtures of diagonal Gaussians, one for each state of the phones: likelihoods, and their estimate from frames.

A state with few frames keeps few components, and its variances are drawn towards those of all speech with the weight
of PRIOR frames: a phone that occurs three times is a broad guess, not a spike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PRIOR = 60.0
"""Frames that the variance of all speech counts for in the variance of a component."""
LEAST_VARIANCE = 0.1
"""Lowest variance of a component, relative to that of all speech."""
FRAMES_EACH = 200
"""Fewest frames of a state for each of its components."""


@dataclass(frozen=True)
class Mixtures:
    """Parameters of all states."""

    weights: Floats
    """[states, components], 0 = unused; each row adds up to 1."""
    means: Floats
    """[states, components, dims]"""
    variances: Floats
    """[states, components, dims]"""

    def scores(self, features: Floats) -> Floats:
        """Log likelihood of every frame in every state: float32 [frames, dims] -> [frames, states]."""
        parts = self._parts(features)
        top = parts.max(2)
        total: Floats = top + np.log(np.exp(parts - top[:, :, None]).sum(2))
        return total

    def _parts(self, features: Floats) -> Floats:
        """[frames, states, components], log of the weighted densities."""
        states, components, dims = self.means.shape
        precision = (1 / self.variances).reshape(-1, dims)
        means = self.means.reshape(-1, dims)
        with np.errstate(divide="ignore"):
            offset = np.log(self.weights).reshape(-1)
        offset = offset - 0.5 * (
            np.log(2 * np.pi * self.variances).reshape(-1, dims).sum(1) + (means**2 * precision).sum(1)
        )
        flat = features @ (means * precision).T - 0.5 * (features**2) @ precision.T + offset
        scores: Floats = flat.astype(np.float32).reshape(len(features), states, components)
        return scores


def single(features: Floats, states: Ints, count: int) -> Mixtures:
    """One Gaussian for each of `count` states, from frames [frames, dims] and their states [frames]."""
    weights = np.ones((len(features), 1), np.float32)
    return _estimated(features, states, weights, count)


def refined(old: Mixtures, features: Floats, states: Ints, rounds: int = 1) -> Mixtures:
    """Estimate from frames with known states; the shares of a state's components are those of `old`, `rounds` times."""
    for _ in range(rounds):
        old = _estimated(features, states, _shares(old, features, states), len(old.weights))
    return old


def split(old: Mixtures, features: Floats, states: Ints, rounds: int = 4) -> Mixtures:
    """Twice the components, where a state has frames enough; then `rounds` of estimation."""
    shift = 0.3 * np.sqrt(old.variances)
    means = np.concatenate([old.means - shift, old.means + shift], 1)
    weights = np.concatenate([old.weights, old.weights], 1) / 2
    counts = np.bincount(states, minlength=len(weights))
    components = old.weights.shape[1]
    few = counts < FRAMES_EACH * 2 * components
    means[few, :components] = old.means[few]
    weights[few, :components], weights[few, components:] = old.weights[few], 0
    grown = Mixtures(
        weights.astype(np.float32), means.astype(np.float32), np.concatenate([old.variances, old.variances], 1)
    )
    return refined(grown, features, states, rounds)


def _shares(mixtures: Mixtures, features: Floats, states: Ints) -> Floats:
    """Posterior of each component of a frame's own state, [frames, components]."""
    with np.errstate(divide="ignore"):
        logs = np.log(mixtures.weights)[states]
    for component in range(logs.shape[1]):
        mean, variance = mixtures.means[states, component], mixtures.variances[states, component]
        logs[:, component] -= 0.5 * (np.log(variance) + (features - mean) ** 2 / variance).sum(1)
    powers = np.exp(logs - logs.max(1, keepdims=True))
    shares: Floats = powers / powers.sum(1, keepdims=True)
    return shares


def _estimated(features: Floats, states: Ints, shares: Floats, count: int) -> Mixtures:
    components = shares.shape[1]
    overall_mean, overall = features.mean(0, dtype=np.float64), features.var(0, dtype=np.float64)
    weights = np.zeros((count, components))
    means = np.tile(overall_mean, (count, components, 1))
    variances = np.tile(overall, (count, components, 1))
    order = np.argsort(states, kind="stable")
    edges = np.searchsorted(states[order], np.arange(count + 1))
    for state in range(count):
        own = order[edges[state] : edges[state + 1]]
        if not len(own):
            weights[state, 0] = 1
            continue
        share, frames = shares[own].astype(np.float64), features[own].astype(np.float64)
        total = share.sum(0)
        used = total > 1e-6
        weights[state] = np.where(used, total, 0) / total[used].sum()
        mean = (share.T @ frames)[used] / total[used, None]
        square = (share.T @ frames**2)[used] / total[used, None] - mean**2
        known = total[used, None]
        means[state, used] = mean
        variances[state, used] = np.maximum(
            (known * square + PRIOR * overall) / (known + PRIOR), LEAST_VARIANCE * overall
        )
    return Mixtures(weights.astype(np.float32), means.astype(np.float32), variances.astype(np.float32))
