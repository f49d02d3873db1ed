"""Low-rank adapters inside a network: injection, switching, removal, merging. Built on `peft`.

A base may have several adapters, of which one or none is in use. Their layers replace those that they adapt, so the
state dict has other keys meanwhile: `merged_state` gives the official ones.

A weight-normed layer of s2 has no `weight` but a length g and a direction v (`model.s2.weight_norm`). Its sum with an
adapter, W = g v / |v| + (alpha / rank) B A, is stored as g = |W| and v = W: exact, and of the same shapes.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from voicemill.model.checkpoints.layout import POSTERIOR
from voicemill.model.s2.weight_norm import Conv1d, WeightNorm, norm
from voicemill.storage.errors import ConfigError

if TYPE_CHECKING:
    from peft import LoraConfig

Module = TypeVar("Module", bound=nn.Module)

BASE = "base_layer."
"""Part of a key that peft adds."""
KEPT = ("ssl_proj.", "quantizer.")
"""Prefixes of the layers of s2 that make the codes: they are never trained."""


def adaptable(module: nn.Module) -> dict[str, nn.Module]:
    """Adaptable layers, with or without an adapter, name -> layer: the linear layers and convolutions that inference
    uses and that do not make the codes. Transposed convolutions are left out: peft does not support them."""
    adaptable_layers: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        fixed = f"{name}.".startswith((POSTERIOR, *KEPT)) or ".lora_" in name
        if isinstance(layer, nn.Linear | nn.Conv1d) and not fixed:
            adaptable_layers[f"{name}.".replace(f".{BASE}", ".")[:-1]] = layer
    return adaptable_layers


def lora_config(targets: Sequence[str], rank: int, alpha: float) -> "LoraConfig":
    """Settings of peft for `targets`, full names of layers."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), lora_dropout=0.0, bias="none")


def inject(module: nn.Module, name: str, targets: Sequence[str], rank: int, alpha: float, seed: int = 0) -> None:
    """Add adapter `name` to the layers `targets` (full names) of `module`, in place; use it and freeze everything else.

    The values of A are drawn from `seed` (Kaiming, as peft does), those of B are 0: the output does not change yet.

    Raises ConfigError where the name is taken.
    """
    from peft import inject_adapter_in_model

    if name in names(module):
        raise ConfigError(f"adapter {name!r} is already there: remove it first, or give another name")
    if not name or "." in name:
        raise ConfigError(f"adapter {name!r}: a name has at least one character and no dot")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), _plain(module):
        torch.manual_seed(seed)
        # peft warns of a second adapter in a module, which is intended here
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
        inject_adapter_in_model(lora_config(targets, rank, alpha), module, name)
    switch(module, name, trainable=True)


@contextmanager
def _plain(module: nn.Module) -> Iterator[None]:
    """Disguise weight-normed convolutions as plain ones, which peft can wrap: it reads a layer's `weight`, which they
    lack, and makes its two factors of the layer's own type, which must not be weight-normed."""
    normed = [layer for layer in module.modules() if isinstance(layer, Conv1d) and not layer.folded]
    for layer in normed:
        layer.__class__, layer.__dict__["weight"] = nn.Conv1d, layer.weight_v
    try:
        yield
    finally:
        for layer in normed:
            del layer.__dict__["weight"]
            layer.__class__ = Conv1d


def layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name and layer (peft's `LoraLayer`) of all layers with adapters."""
    if hasattr(module, "peft_config"):  # otherwise peft, which takes seconds to import, is not needed
        from peft.tuners.lora import LoraLayer

        yield from ((name, layer) for name, layer in module.named_modules() if isinstance(layer, LoraLayer))


def names(module: nn.Module) -> list[str]:
    """Names of the adapters in `module`, in the order in which they were added."""
    return list(getattr(module, "peft_config", {}))


def active(module: nn.Module) -> str:
    """Name of the adapter in use; "" = the base alone."""
    for _, layer in layers(module):
        return "" if layer.disable_adapters or not layer.active_adapters else str(layer.active_adapters[0])
    return ""


def switch(module: nn.Module, name: str, trainable: bool = False) -> None:
    """Use adapter `name`, or with "" the base alone. `trainable`: whether its weights get gradients; no others do.

    Raises ConfigError for an unknown name.
    """
    _known(module, name)
    for _, layer in layers(module):
        layer.enable_adapters(bool(name))
        if name:
            layer.set_adapter(name, inference_mode=not trainable)


def remove(module: nn.Module, name: str) -> None:
    """Remove adapter `name`; if it was in use, the base alone is in use afterwards. Removing the last one restores
    `module`.

    Raises ConfigError for an unknown name.
    """
    if not name:
        raise ConfigError("name of an adapter expected: the base cannot be removed")
    _known(module, name)
    used = active(module)
    switch(module, "")
    del module.peft_config[name]
    for path, layer in list(layers(module)):
        # not peft's delete_adapter: it warns, and switches to another adapter
        for table in (getattr(layer, kind) for kind in (*layer.adapter_layer_names, *layer.other_param_names)):
            if name in table:
                del table[name]
        if not layer.lora_A:
            _replace(module, path, layer.get_base_layer())
    if not module.peft_config:
        del module.peft_config
    elif used != name:
        switch(module, used)


def merge(module: Module, name: str | None = None) -> Module:
    """Merge adapter `name` (None = the one in use) into the weights, remove all adapters, return `module`."""
    state = merged_state(module, name)
    for path, layer in list(layers(module)):
        _replace(module, path, layer.get_base_layer())
    if hasattr(module, "peft_config"):
        del module.peft_config
    module.load_state_dict(state)
    return module


def merged_state(module: nn.Module, name: str | None = None) -> dict[str, Tensor]:
    """Weights of `module` with adapter `name` (None = the one in use, "" = the base alone) merged, under their official
    keys, detached; unchanged ones share their memory. For a module without adapters: its own weights.

    Raises ConfigError for an unknown name.
    """
    name = active(module) if name is None else name
    _known(module, name)
    state = {
        key.replace(BASE, ""): tensor.detach() for key, tensor in module.state_dict().items() if ".lora_" not in key
    }
    with torch.no_grad():
        for path, layer in layers(module):
            if name in layer.lora_A:
                state |= {f"{path}.{key}": tensor for key, tensor in _sum(layer, name).items()}
    return state


def _sum(layer: Any, name: str) -> dict[str, Tensor]:
    """Weight of one layer with its adapter merged."""
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    base = layer.get_base_layer()
    weight = base.normed() if isinstance(base, WeightNorm) else base.weight
    change = (up.flatten(1).float() @ down.flatten(1).float()).reshape(weight.shape) * layer.scaling[name]
    merged = (weight.float() + change).to(weight.dtype)
    if isinstance(base, WeightNorm) and not base.folded:
        return {"weight_g": norm(merged), "weight_v": merged}
    return {"weight": merged}


def _known(module: nn.Module, name: str) -> None:
    if name and name not in names(module):
        known = ", ".join(names(module)) or "none"
        raise ConfigError(f"no adapter {name!r} in this {type(module).__name__}, which has: {known}")


def _replace(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, own = path.rpartition(".")
    setattr(module.get_submodule(parent), own, layer)
