"""Models of s2 with the weights of the golden rule, made once."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from support.golden import fill

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer

SMALL = S2Config(
    phones=20,
    ssl_dim=16,
    codebook=12,
    spectrum_bins=33,
    reference_bins=20,
    reference_dim=8,
    style=16,
    hidden=8,
    filter=12,
    layers=2,
    mrte_dim=16,
    posterior_layers=2,
    flow_layers=2,
    upsample_channels=32,
    upsample_rates=(5, 4, 2),
    upsample_kernels=(9, 8, 2),
    segment=6,
    dropout=0.0,
    reference_dropout=0.0,
)
"""A synthesizer of 20 thousand weights with every part that the real one has; 40 samples per frame."""


@cache
def filled(config: S2Config) -> Synthesizer:
    model = Synthesizer(config).eval()
    model.load_state_dict(fill(model.state_dict()))
    return model.requires_grad_(False)


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other after every small layer: on a busy machine that is fifty times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small() -> Synthesizer:
    return filled(SMALL)


@pytest.fixture(scope="session")
def real() -> Callable[[str], Synthesizer]:
    """By version, at its real size."""
    return lambda version: filled(S2Config.of(version))
