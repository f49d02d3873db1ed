"""Trainable and frozen weights of a training, and their number at the real sizes."""

from typing import Any

import pytest
import torch
from support.adapter_bases import assert_same, base, output
from torch import nn

from voicemill.model.adapters.adapting import S2_TARGETS, adapt, target_layers, trainable
from voicemill.model.adapters.lora import layers, merged_state
from voicemill.model.checkpoints.layout import layout
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.loss import loss
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Adaptation, load
from voicemill.storage.errors import ConfigError

LORA = Adaptation(kind="lora", rank=4, alpha=8)


def real(network: str, version: str = "v2", posterior: bool = True) -> nn.Module:
    with torch.device("meta"):
        return Text2Semantic(S1Config()) if network == "s1" else Synthesizer(S2Config.of(version), posterior)


@pytest.mark.parametrize(
    ("network", "version", "expected"),
    [
        ("s1", "v2", "trainable: 589,824 of 77,606,402 parameters (0.76 %)"),
        ("s2", "v2", "trainable: 274,176 of 51,310,080 parameters (0.53 %)"),
        ("s2", "v2Pro", "trainable: 284,416 of 79,428,096 parameters (0.36 %)"),
        ("s2", "v2ProPlus", "trainable: 286,464 of 98,338,432 parameters (0.29 %)"),
    ],
)
def test_few_shot_moves_less_than_a_hundredth(network: Any, version: str, expected: str) -> None:
    module, settings = real(network, version), load("few-shot").phases["finetune"].adapt
    with torch.device("meta"):
        adapted = adapt(module, network, settings)
    assert adapted.share < 0.01
    assert adapted.describe() == expected
    assert adapted.trainable == sum(parameter.numel() for parameter in trainable(module))
    assert {key: tuple(t.shape) for key, t in module.state_dict().items() if "lora_" not in key}.keys() != {}


def test_less_than_a_hundredth_of_the_weights_is_trained() -> None:
    """Without the posterior encoder there is less to compare with."""
    with torch.device("meta"):
        assert adapt(real("s2", posterior=False), "s2", LORA).share < 0.01


@pytest.mark.parametrize("network", ["s1", "s2"])
def test_the_keys_of_an_adapted_network_are_the_official_ones_once_merged(network: Any) -> None:
    module = real(network)
    with torch.device("meta"):
        adapt(module, network, LORA)
        merged = {key: tuple(tensor.shape) for key, tensor in merged_state(module).items()}
    assert merged == dict(layout(network, "v2"))


def test_a_new_adapter_changes_nothing_yet_and_its_seed_is_its_own(network: Any) -> None:
    plain, module, again = base(network), base(network), base(network)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    adapt(module, network, LORA, seed=5)
    assert torch.equal(torch.rand(3), expected)
    adapt(again, network, LORA, seed=5)
    assert_same(output(module), output(plain))
    state, other = module.state_dict(), again.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)
    third = base(network)
    adapt(third, network, LORA, seed=6)
    assert any(not torch.equal(state[key], value) for key, value in third.state_dict().items())


def step(module: nn.Module) -> float:
    """One optimiser step on numbers that are the same every time; the loss before it."""
    optimiser = torch.optim.SGD(trainable(module), lr=1e-3)
    optimiser.zero_grad()
    generator = torch.Generator().manual_seed(1)
    if isinstance(module, Text2Semantic):
        phones, codes = torch.randint(40, (2, 7), generator=generator), torch.randint(16, (2, 9), generator=generator)
        total = loss(module, phones, torch.randn(2, 24, 7, generator=generator), codes).total
    else:
        frames, lengths = 12, torch.tensor([12, 10])
        rendering = module(
            torch.randn(2, 16, frames, generator=generator),
            torch.rand(2, 33, frames, generator=generator),
            lengths,
            torch.randint(20, (2, 5), generator=generator),
            torch.tensor([5, 4]),
            noise=torch.randn(2, 8, frames, generator=generator),
            uniform=torch.tensor([0.2, 0.6]),
        )
        distance = rendering.z_prior - rendering.prior.mean
        total = rendering.wave.square().mean() + distance.square().mean() + rendering.prior.logs.square().mean()
    total.backward()
    optimiser.step()
    return float(total.detach())


@pytest.mark.parametrize(
    "settings", [LORA, Adaptation(kind="last", layers=2), Adaptation()], ids=lambda value: str(value.kind)
)
def test_a_step_moves_what_should_move_and_nothing_else(network: Any, settings: Adaptation) -> None:
    module = base(network).train()
    adapt(module, network, settings)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    moves = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    first = step(module)
    for _ in range(3):
        latest = step(module)
    assert latest < first
    changed = {key for key, tensor in module.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed <= moves
    for name, parameter in module.named_parameters():
        if name in moves:
            assert parameter.grad is not None
            # a softmax does not feel what is added to all of its scores: the bias of its keys has no gradient
            assert parameter.grad.abs().max() > 0 or name.endswith(("conv_k.bias", "w_ks.bias")), name
        else:
            assert parameter.grad is None
    if settings.kind == "lora":
        assert all(".lora_" in key for key in changed)
    assert not any(key.startswith(("ssl_proj", "quantizer")) for key in changed)


def test_the_last_layers() -> None:
    module = base("s1")
    adapt(module, "s1", Adaptation(kind="last", layers=1))
    heads = {name.split(".weight")[0].rsplit(".bias")[0] for name, p in module.named_parameters() if p.requires_grad}
    assert "ar_predict_layer" in heads
    assert all(head == "ar_predict_layer" or head.startswith("h.layers.2.") for head in heads)
    module = base("s2")
    adapt(module, "s2", Adaptation(kind="last", layers=2))
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    assert {".".join(name.split(".")[:3]) for name in names if not name.startswith("dec.conv_post")} == {
        *(f"dec.ups.{i}" for i in (1, 2)),
        *(f"dec.resblocks.{i}" for i in range(3, 9)),
        "flow.flows.0",
    }
    for network, most in (("s1", "3 Transformer layers"), ("s2", "3 upsampling stages")):
        with pytest.raises(ConfigError, match=f"adapt.layers = 4: this network has {most}"):
            adapt(base(network), network, Adaptation(kind="last", layers=4))  # type: ignore[arg-type]


def test_targets_are_named_by_whole_parts() -> None:
    module = base("s2")
    assert target_layers(module, ["dec.cond"]) == ["dec.cond"]
    assert target_layers(module, ["enc_p.ssl_proj"]) == ["enc_p.ssl_proj"]
    every = target_layers(module, S2_TARGETS)
    assert not any(name.startswith(("enc_q.", "ref_enc.", "ssl_proj", "dec.resblocks")) for name in every)
    assert sum(name.startswith("flow.") for name in every) == 4 * (2 + 2 * 2 + 1)
    adapt(module, "s2", Adaptation(kind="lora", targets_s2=("cond_layer",)))
    assert [name for name, _ in layers(module)] == [f"flow.flows.{i}.enc.cond_layer" for i in (0, 2, 4, 6)]


@pytest.mark.parametrize("target", ["linear", "linear3", "ssl_proj", "enc_q", "ups", "text_embedding"])
def test_a_target_that_is_no_layer_is_refused(target: str) -> None:
    module = base("s1" if target.startswith("linear") else "s2")
    name: Any = "s1" if target.startswith("linear") else "s2"
    if target == "ssl_proj":  # that of the codes is not adapted, the one behind them is
        assert target_layers(module, [target]) == ["enc_p.ssl_proj"]
        return
    with pytest.raises(ConfigError, match=f"is named '{target}'"):
        adapt(module, name, Adaptation(kind="lora", targets_s1=(target,), targets_s2=(target,)))
    assert not list(layers(module))


def test_a_network_under_the_name_of_the_other() -> None:
    with pytest.raises(ConfigError, match="s2 must be a Synthesizer, got a Text2Semantic"):
        adapt(base("s1"), "s2", LORA)
