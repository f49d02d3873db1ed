"""A light system of a hundredth of the real size."""

import pytest
from support.tiny_voice import tiny_light

from voicemill.model.light.system import LightSystem


@pytest.fixture
def system() -> LightSystem:
    return tiny_light(3).eval()
