"""Models of s2 with the weights of the golden rule, made once."""

from collections.abc import Callable
from functools import cache

import pytest
from support.tiny_voice import S2, tiny_s2

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer


@cache
def filled(config: S2Config) -> Synthesizer:
    return tiny_s2(config).requires_grad_(False)


@pytest.fixture(scope="session")
def small() -> Synthesizer:
    return filled(S2)


@pytest.fixture(scope="session")
def real() -> Callable[[str], Synthesizer]:
    """By version, at its real size."""
    return lambda version: filled(S2Config.of(version))
