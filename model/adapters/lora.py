"""Low-rank adapters inside a network: put in, switched, taken out, added to the weights. Built on `peft`.

Several adapters may lie beside one base; one or none of them is in use. Their layers take the place of those that they
adapt, so the state dict has other keys while they are there: `merged_state` gives the official ones.

A weight-normed layer of s2 has no `weight` but a length g and a direction v (`model.s2.weight_norm`). Its sum with an
adapter, W = g v / |v| + (alpha / rank) B A, is again held as g = |W| and v = W: exact, and of the same shapes.
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
"""Of s2: they make the codes; nothing trains them."""


def adaptable(module: nn.Module) -> dict[str, nn.Module]:
    """Name -> layer of all that may carry an adapter, whether they do or not: linear layers and convolutions that
    speaking uses and that do not make the codes. Transposed convolutions are not among them: peft has none."""
    found: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        kept = f"{name}.".startswith((POSTERIOR, *KEPT)) or ".lora_" in name
        if isinstance(layer, nn.Linear | nn.Conv1d) and not kept:
            found[f"{name}.".replace(f".{BASE}", ".")[:-1]] = layer
    return found


def lora_config(targets: Sequence[str], rank: int, alpha: float) -> "LoraConfig":
    """The settings of peft for `targets`, full names of layers."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), lora_dropout=0.0, bias="none")


def inject(module: nn.Module, name: str, targets: Sequence[str], rank: int, alpha: float, seed: int = 0) -> None:
    """Add adapter `name` to the layers `targets` (full names) of `module`, in place; all else is frozen, it is in use.

    The values of A are drawn from `seed` (Kaiming, as peft does), those of B are 0: nothing changes yet.

    Raises ConfigError where there is an adapter of that name.
    """
    from peft import inject_adapter_in_model

    if name in names(module):
        raise ConfigError(f"adapter {name!r}: there is one of that name; remove it first, or take another name")
    if not name or "." in name:
        raise ConfigError(f"adapter {name!r}: a name has at least one character and no dot")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), _plain(module):
        torch.manual_seed(seed)
        # what peft warns of, a second adapter in a module, is what is wanted
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
        inject_adapter_in_model(lora_config(targets, rank, alpha), module, name)
    switch(module, name, trainable=True)


@contextmanager
def _plain(module: nn.Module) -> Iterator[None]:
    """Weight-normed convolutions as peft can wrap them: it asks a layer for its `weight`, which they do not have, and
    makes its two factors of the layer's own type, which must not be weight-normed."""
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
    """Name and layer (peft's `LoraLayer`) of all that carry adapters."""
    if hasattr(module, "peft_config"):  # else peft, seconds to import, is not needed
        from peft.tuners.lora import LoraLayer

        yield from ((name, layer) for name, layer in module.named_modules() if isinstance(layer, LoraLayer))


def names(module: nn.Module) -> list[str]:
    """Of the adapters in `module`, in the order in which they came."""
    return list(getattr(module, "peft_config", {}))


def active(module: nn.Module) -> str:
    """Name of the adapter in use; "" = the base alone."""
    for _, layer in layers(module):
        return "" if layer.disable_adapters or not layer.active_adapters else str(layer.active_adapters[0])
    return ""


def switch(module: nn.Module, name: str, trainable: bool = False) -> None:
    """Use adapter `name`, or with "" the base alone. `trainable`: whether its weights get gradients; no others do.

    Raises ConfigError where there is no such adapter.
    """
    _known(module, name)
    for _, layer in layers(module):
        layer.enable_adapters(bool(name))
        if name:
            layer.set_adapter(name, inference_mode=not trainable)


def remove(module: nn.Module, name: str) -> None:
    """Take adapter `name` out; one that was in use leaves the base alone. After the last one `module` is as before.

    Raises ConfigError where there is no such adapter.
    """
    if not name:
        raise ConfigError("no name: an adapter has one; the base cannot be removed")
    _known(module, name)
    used = active(module)
    switch(module, "")
    del module.peft_config[name]
    for path, layer in list(layers(module)):
        # not peft's delete_adapter: it warns, and makes another voice speak
        for held in (getattr(layer, kind) for kind in (*layer.adapter_layer_names, *layer.other_param_names)):
            if name in held:
                del held[name]
        if not layer.lora_A:
            _replace(module, path, layer.get_base_layer())
    if not module.peft_config:
        del module.peft_config
    elif used != name:
        switch(module, used)


def merge(module: Module, name: str | None = None) -> Module:
    """Add adapter `name` (None = the one in use) to the weights for good, take all adapters out, return `module`."""
    state = merged_state(module, name)
    for path, layer in list(layers(module)):
        _replace(module, path, layer.get_base_layer())
    if hasattr(module, "peft_config"):
        del module.peft_config
    module.load_state_dict(state)
    return module


def merged_state(module: nn.Module, name: str | None = None) -> dict[str, Tensor]:
    """The weights of `module` with adapter `name` (None = the one in use, "" = the base alone) added to them, under the
    official keys, detached; those that no adapter changes share their memory. A module without adapters: its own.

    Raises ConfigError where there is no such adapter.
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
    """The weight of one layer with its adapter."""
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
        there = ", ".join(names(module)) or "none"
        raise ConfigError(f"no adapter {name!r} in this {type(module).__name__}; there are: {there}")


def _replace(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, own = path.rpartition(".")
    setattr(module.get_submodule(parent), own, layer)
