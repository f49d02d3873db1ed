"""Devices and precisions; the convolutions that oneDNN gets wrong on CPUs with AMX."""

import time

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, cosine_similarity

from voicemill.model.device import bf16_flag, can_pack, convolves_bf16_faster, is_wrong_on_amx, place
from voicemill.model.light.config import VocoderConfig
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.generator import Generator
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.packed import Packed
from voicemill.storage.errors import ConfigError


def test_float16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="needs a GPU"):
        place("cpu", "float16")


@pytest.mark.skipif(not (can_pack() and bf16_flag()), reason="this CPU or torch has no fast convolution in bfloat16")
def test_convolutions_are_computed_in_the_faster_precision() -> None:
    weight, bias, used = torch.randn(128, 128, 11), torch.zeros(128), dict[torch.dtype, list[float]]()
    for dtype in (torch.float32, torch.bfloat16) * 7:
        layer = Packed(weight, bias, 1, dtype)
        x = torch.randn(1, 128, 1, 4096).to(dtype).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            layer(x)
            began = time.process_time()
            layer(x)
            used.setdefault(dtype, []).append(time.process_time() - began)
    least = {dtype: min(values) for dtype, values in used.items()}
    chosen, other = torch.bfloat16, torch.float32
    if not convolves_bf16_faster():
        chosen, other = other, chosen
    assert least[chosen] < 1.15 * least[other]


@pytest.mark.parametrize("channels", [1, 2, 4, 7, 8, 12, 16])
@pytest.mark.parametrize("taps", [3, 8, 11, 16, 41])
def test_convolutions_outside_the_rule_are_right_in_bfloat16(channels: int, taps: int) -> None:
    torch.manual_seed(0)
    wave, weight = torch.randn(1, channels, 100), torch.randn(16, channels, taps)
    expected = conv1d(wave, weight).flatten()
    closeness = cosine_similarity(conv1d(wave.bfloat16(), weight.bfloat16()).float().flatten(), expected, 0)
    assert is_wrong_on_amx(channels, taps) or closeness > 0.999


def test_no_network_of_default_size_has_such_a_convolution() -> None:
    with torch.device("meta"):
        networks = (Generator(S2Config()), Discriminators(S2Config()), Generator(VocoderConfig()))
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                channels = module.out_channels if module.transposed else module.in_channels
                assert not is_wrong_on_amx(channels // module.groups, module.kernel_size[0])
