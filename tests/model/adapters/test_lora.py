"""Adapters in a network: merging keeps the output, switching does not mix them, removal leaves nothing."""

import copy
from typing import Any

import pytest
import torch
from support.adapter_bases import assert_same, base, output
from support.tiny_voice import with_random_factors
from torch import nn

from voicemill.model.adapters.adapting import adapt, target_layers
from voicemill.model.adapters.lora import active, inject, layers, merge, merged_state, names, remove, switch
from voicemill.model.settings.training import Adaptation
from voicemill.storage.errors import ConfigError

LORA = Adaptation(kind="lora", rank=3, alpha=6)
FEW = {"s1": ["linear1"], "s2": ["cond_layer", "conv_q"]}
"""Fewer layers than by default: two adapters of one base need not have the same ones."""


def with_two(network: Any) -> nn.Module:
    module = base(network)
    inject(module, "anna", target_layers(module, FEW[network]), 2, 4.0)
    every = LORA.targets_s1 if network == "s1" else ("flow", "conv_o", "dec.conv_pre")
    inject(module, "otto", target_layers(module, every), 5, 3.0)
    return with_random_factors(with_random_factors(module, "anna", 1), "otto", 2)


def test_merged_is_unmerged(network: Any) -> None:
    module = base(network)
    plain = output(module)
    adapt(module, network, LORA)
    with_random_factors(module, "default", 1)
    adapted = output(module)
    assert (adapted - plain).abs().max() > 1e-2
    keys = base(network).state_dict().keys()
    state = merged_state(module)
    assert state.keys() == keys
    fresh = base(network)
    fresh.load_state_dict(state)
    assert_same(output(fresh), adapted, 1e-5)
    assert_same(output(module), adapted)
    merged = merge(module)
    assert merged.state_dict().keys() == keys
    assert_same(output(merged), adapted, 1e-5)
    assert names(merged) == []
    assert not hasattr(merged, "peft_config")


def test_a_network_without_adapters_is_its_own_sum(network: Any) -> None:
    module = base(network)
    state = merged_state(module)
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert merge(module) is module
    assert active(module) == ""


def test_voices_on_one_base_do_not_leak_into_each_other(network: Any) -> None:
    module = with_two(network)
    alone = {}
    for name, other in (("anna", "otto"), ("otto", "anna")):
        single = copy.deepcopy(module)
        remove(single, other)
        assert names(single) == [name]
        switch(single, name)
        alone[name] = output(single)
    alone[""] = output(base(network))
    assert (alone["anna"] - alone["otto"]).abs().max() > 1e-2
    for name in ("anna", "", "otto", "anna", "otto", ""):
        switch(module, name)
        assert active(module) == name
        assert_same(output(module), alone[name])
    for name, expected in alone.items():  # whichever is in use
        fresh = base(network)
        fresh.load_state_dict(merged_state(module, name))
        assert_same(output(fresh), expected, 1e-5)


def test_the_last_one_taken_out_leaves_the_base(network: Any) -> None:
    module, plain = with_two(network), base(network)
    switch(module, "anna")
    remove(module, "otto")
    assert active(module) == "anna"
    assert len(list(layers(module))) == len(target_layers(plain, FEW[network]))
    remove(module, "anna")
    assert [(name, type(layer)) for name, layer in module.named_modules()] == [
        (name, type(layer)) for name, layer in plain.named_modules()
    ]
    assert_same(output(module), output(plain))
    inject(module, "anna", target_layers(module, FEW[network]), 2, 4.0)
    assert active(module) == "anna"


def test_the_one_in_use_taken_out_leaves_the_base_speaking(network: Any) -> None:
    module = with_two(network)
    assert active(module) == "otto"
    remove(module, "otto")
    assert active(module) == ""
    assert_same(output(module), output(base(network)))
    switch(module, "anna")
    assert (output(module) - output(base(network))).abs().max() > 1e-2


def test_only_the_adapter_in_use_gets_gradients_and_only_when_asked(network: Any) -> None:
    module = with_two(network)
    switch(module, "anna", trainable=True)
    moving = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    assert moving
    assert all(".lora_" in name and ".anna." in name for name in moving)
    for name in ("anna", "otto", ""):
        switch(module, name)
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_names(network: Any) -> None:
    module = with_two(network)
    assert names(module) == ["anna", "otto"]
    for refused in (lambda: switch(module, "none"), lambda: remove(module, "none"), lambda: merge(module, "none")):
        with pytest.raises(ConfigError, match=r"no adapter 'none' in this .*which has: anna, otto"):
            refused()
    with pytest.raises(ConfigError, match="is already there"):
        inject(module, "anna", target_layers(module, FEW[network]), 2, 4.0)
    for name in ("", "a.b"):
        with pytest.raises(ConfigError, match="at least one character and no dot"):
            inject(module, name, target_layers(module, FEW[network]), 2, 4.0)
    with pytest.raises(ConfigError, match="the base cannot be removed"):
        remove(module, "")
