"""Versions, and the keys and shapes that their official files have."""

import hashlib

import pytest
import torch

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.storage.errors import ConfigError

LISTINGS = {
    "v2": (776, 51_310_080, "47c4b0f3b4c38fa3acc497ab54a6bbada75509c97d7ac08255308733aed75871"),
    "v2Pro": (781, 79_428_096, "6110db08cd0fe6a47eba158e990f8854969b4498cc03d1a9391ba5addda9d282"),
    "v2ProPlus": (781, 98_338_432, "00e1e3bff42eb240d6ace16c51e65cb1a70675e74316dde13281dc06eb94bcf0"),
}
JUDGES = {
    "v2": (111, 46_747_132, "2fab5aea720dbf4082f18ce96879601efb2c54d4e5c028ea1679a21b9bc24a78"),
    "v2Pro": (147, 63_189_440, "5dd9363e983aaf3a4fb3d133ce3cb7ad632d75cf7e7749f9745a2b3b206c8a42"),
    "v2ProPlus": (147, 63_189_440, "5dd9363e983aaf3a4fb3d133ce3cb7ad632d75cf7e7749f9745a2b3b206c8a42"),
}
"""Keys, parameters, and the sha256 of the sorted lines "key shape"."""


def listing(model: torch.nn.Module) -> tuple[int, int, str]:
    lines = sorted(f"{key} {list(value.shape)}" for key, value in model.state_dict().items())
    weights = sum(weight.numel() for weight in model.parameters())
    return len(lines), weights, hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("version", LISTINGS)
def test_keys_and_shapes_are_the_official_ones(version: str) -> None:
    with torch.device("meta"):
        assert listing(Synthesizer(S2Config.of(version))) == LISTINGS[version]
        assert listing(Discriminators(S2Config.of(version))) == JUDGES[version]


def test_without_the_posterior_encoder() -> None:
    with torch.device("meta"):
        whole, part = Synthesizer(S2Config()), Synthesizer(S2Config(), posterior=False)
    assert set(whole.state_dict()) - set(part.state_dict()) == {k for k in whole.state_dict() if k.startswith("enc_q.")}
    assert sum(weight.numel() for weight in part.parameters()) == 40_815_744


@pytest.mark.parametrize("version", ["v1", "v3", "v4", "V2", ""])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=f"'{version}' is not supported: expected one of v2, v2Pro, v2ProPlus"):
        S2Config.of(version)


def test_the_hop_is_that_of_the_mel() -> None:
    assert S2Config().hop == S2Config.of("v2ProPlus").hop == 640


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("upsample_kernels", {"upsample_kernels": (16, 16)}),
        ("upsample_rates", {"upsample_kernels": (15, 16, 8, 2, 2)}),
        ("hidden", {"hidden": 190}),
        ("style", {"style": 1024}),
        ("layers", {"layers": 5}),
    ],
)
def test_contradicting_sizes_are_refused_by_name(name: str, change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=name):
        S2Config(**change)
