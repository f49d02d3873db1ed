"""The speaker encoder: its size, the length of its vectors, what they do not depend on."""

import pytest
import torch

from voicemill.model.light.config import EcapaConfig
from voicemill.model.light.ecapa import EcapaTdnn
from voicemill.model.light.system import LightSystem
from voicemill.storage.errors import ConfigError


def test_it_has_under_a_million_weights_and_gives_192_numbers() -> None:
    network = EcapaTdnn().eval()
    assert sum(weight.numel() for weight in network.parameters()) < 1_000_000
    actual = network.embed(torch.randn(2, 128, 40))
    assert actual.shape == (2, 192)
    assert torch.allclose(actual.norm(dim=-1), torch.ones(2), atol=1e-5)


def test_a_row_is_what_it_is_alone_whatever_is_behind_its_end(system: LightSystem) -> None:
    lengths = [40, 7, 1, 23]
    mel = torch.randn(4, 128, 44) * 2 - 5
    together = system.speaker.embed(mel, torch.tensor(lengths))
    mel[1, :, 7:] = 99.0
    again = system.speaker.embed(mel, torch.tensor(lengths))
    alone = torch.cat([system.speaker.embed(mel[row : row + 1, :, :n]) for row, n in enumerate(lengths)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, again, atol=1e-5)


def test_the_level_of_a_recording_does_not_matter(system: LightSystem) -> None:
    mel = torch.randn(1, 128, 60) - 5
    assert torch.allclose(system.speaker.embed(mel), system.speaker.embed(mel + 1.7), atol=1e-5)


def test_voices_differ(system: LightSystem) -> None:
    tilted = torch.linspace(-2, 2, 128)[:, None] * torch.tensor([1.0, -1.0])[:, None, None]
    with torch.inference_mode():
        one, other = system.speaker.embed(torch.randn(2, 128, 60) + tilted)
    assert float(one @ other) < 0.99


def test_the_gradient_is_finite_where_nothing_varies(system: LightSystem) -> None:
    mel = torch.full((1, 128, 30), -11.5, requires_grad=True)
    system.speaker.embed(mel)[0, 0].backward()
    assert mel.grad is not None
    assert mel.grad.isfinite().all()


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="multiple of scale"):
        EcapaConfig(channels=100, scale=8)
