"""Likelihoods against scipy, and estimates from frames of known origin."""

import numpy as np
from scipy.stats import multivariate_normal

from voicemill.model.aligner import mixtures
from voicemill.model.aligner.mixtures import Mixtures


def test_scores_are_those_of_the_density() -> None:
    random = np.random.default_rng(0)
    weights = np.array([[0.3, 0.7], [1.0, 0.0]], np.float32)
    means, variances = random.normal(size=(2, 2, 3)), random.uniform(0.5, 2, (2, 2, 3))
    model = Mixtures(weights, means.astype(np.float32), variances.astype(np.float32))
    features = random.normal(size=(5, 3)).astype(np.float32)
    densities = [
        sum(
            weight * multivariate_normal(mean, np.diag(variance)).pdf(features)
            for weight, mean, variance in zip(weights[state], means[state], variances[state], strict=True)
        )
        for state in range(2)
    ]
    np.testing.assert_allclose(model.scores(features), np.log(densities).T, rtol=1e-4, atol=1e-4)


def test_two_clouds_of_one_state_get_a_component_each() -> None:
    random = np.random.default_rng(1)
    low, high = random.normal(-4, 1, (1500, 2)), random.normal(4, 1, (500, 2))
    features = np.concatenate([low, high]).astype(np.float32)
    states = np.zeros(len(features), np.int64)
    grown = mixtures.split(mixtures.single(features, states, 1), features, states, rounds=10)
    order = np.argsort(grown.means[0, :, 0])
    np.testing.assert_allclose(grown.weights[0, order], [0.75, 0.25], atol=0.01)
    np.testing.assert_allclose(grown.means[0, order], [[-4, -4], [4, 4]], atol=0.2)


def test_few_frames_keep_one_component_and_a_broad_variance() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(1003, 2)).astype(np.float32)
    features[1000:] = 3.0
    states = np.array([0] * 1000 + [1] * 3)
    model = mixtures.single(features, states, 3)
    grown = mixtures.split(model, features, states)
    assert (grown.weights > 0).sum(1).tolist() == [2, 1, 1]
    assert (model.variances[1] > 0.8).all()
    np.testing.assert_allclose(model.means[2, 0], features.mean(0), atol=1e-5)  # never seen: all speech
