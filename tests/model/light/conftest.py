"""A light system of a hundredth of the real size."""

import pytest
import torch

from voicemill.model.light.config import AcousticConfig, EcapaConfig, VocoderConfig
from voicemill.model.light.system import PARTS, LightSystem

ECAPA = EcapaConfig(channels=16, scale=4, bottleneck=8)
ACOUSTIC = AcousticConfig(width=16, layers=2, units=16)
VOCODER = VocoderConfig(upsample_channels=32, resblock_kernels=(3,), resblock_dilations=(1, 3))


@pytest.fixture
def system() -> LightSystem:
    torch.manual_seed(3)
    made = LightSystem(ECAPA, ACOUSTIC, VOCODER, PARTS)
    made.eval()
    return made
