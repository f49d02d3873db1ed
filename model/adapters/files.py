"""An adapter as a folder: a few megabytes that belong to one base.

adapter_model.safetensors   the two factors of every layer, under peft's names
adapter_config.json         rank, alpha and layers, as peft writes and reads it
voicemill.json              network, digest of the base, lineage

Nothing in the folder is trusted: its tensors are compared with the base before a layer is changed. Of peft's settings
rank, alpha and layers are used; any other that would change the sum is refused by name.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor, nn

from voicemill.model.adapters import lora
from voicemill.model.checkpoints.checkpoint import differences, plain
from voicemill.model.checkpoints.layout import POSTERIOR, Shape
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.settings.training import Network
from voicemill.model.tensor_file import check_header
from voicemill.storage.errors import CheckpointError, ConfigError
from voicemill.storage.files import whole_folder

WEIGHTS, CONFIG, ABOUT = "adapter_model.safetensors", "adapter_config.json", "voicemill.json"
FORMAT = 1
PREFIX = "base_model.model."
"""Prefix of every key, from peft."""
HIGHEST, STRONGEST = 1024, 1_000_000
"""Largest rank and largest alpha."""
_FREE = ("r", "lora_alpha", "target_modules")
_WORDS = ("inference_mode", "peft_version", "base_model_name_or_path", "revision", "task_type", "auto_mapping")
"""Settings of peft that do not change the computation."""


@dataclass(frozen=True)
class Adapter:
    """Complete adapter read from its folder, not yet compared with a base."""

    network: Network
    base: str
    """Digest of its base: `base_digest`."""
    rank: int
    alpha: float
    targets: tuple[str, ...]
    """Full names of the layers."""
    weights: Mapping[str, Tensor] = field(repr=False)
    """Factors, float32; peft's keys without its prefix, such as "h.layers.0.linear1.lora_A.weight"."""
    lineage: Mapping[str, Any]
    folder: Path


def network_of(module: nn.Module) -> Network:
    """Name of a network: "s1" or "s2"."""
    return "s1" if isinstance(module, Text2Semantic) else "s2"


def base_digest(module: nn.Module) -> str:
    """sha256 of the weights without any adapter, in float32, with their keys and shapes; 0.3 s for s1 of v2.

    The posterior encoder of s2 is left out: files for inference lack it.
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(lora.merged_state(module, "").items()):
        if not key.startswith(POSTERIOR):
            digest.update(f"{key} {list(tensor.shape)}\n".encode())
            digest.update(memoryview(tensor.float().cpu().contiguous().numpy()).cast("B"))
    return digest.hexdigest()


def save(module: nn.Module, folder: Path | str, lineage: Mapping[str, Any], name: str | None = None) -> None:
    """Write adapter `name` (None = the one in use) of `module`; an existing folder is replaced as a whole.

    Raises ConfigError where the module has no such adapter.
    """
    from safetensors.torch import save_file

    folder, name = Path(folder), lora.active(module) if name is None else name
    if not name or name not in lora.names(module):
        raise ConfigError(
            f"no adapter {name!r} to save; this {type(module).__name__} has {lora.names(module) or 'none'}"
        )
    layers = {path: layer for path, layer in lora.layers(module) if name in layer.lora_A}
    weights = {
        f"{PREFIX}{path}.{part}.weight": getattr(layer, part)[name].weight.detach().float().cpu().contiguous()
        for path, layer in layers.items()
        for part in ("lora_A", "lora_B")
    }
    settings = module.peft_config[name]
    config = lora.lora_config(list(layers), settings.r, settings.lora_alpha)
    config.inference_mode = True
    about = {"format": FORMAT, "network": network_of(module), "base": base_digest(module)}
    about["lineage"] = plain(lineage, folder)
    with whole_folder(folder, replace=True, parents=False) as temporary:
        config.save_pretrained(temporary)
        save_file(weights, temporary / WEIGHTS)
        (temporary / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")


def load(module: nn.Module, source: Adapter | Path | str, name: str) -> Adapter:
    """Add an adapter to its base under `name` and use it, without gradients.

    Raises:
        CheckpointError: it is damaged, of another network, made for another base, or has other layers or shapes.
        ConfigError: the name is taken.
    """
    adapter = source if isinstance(source, Adapter) else read(source)
    check_base(module, adapter)
    lora.inject(module, name, adapter.targets, adapter.rank, adapter.alpha)
    lora.switch(module, name)
    for path, layer in lora.layers(module):
        for part in ("lora_A", "lora_B") if name in layer.lora_A else ():
            getattr(layer, part)[name].weight.data.copy_(adapter.weights[f"{path}.{part}.weight"])
    return adapter


def check_base(module: nn.Module, adapter: Adapter) -> None:
    """Raise CheckpointError unless the adapter was made for this base and fits it."""
    network, folder = network_of(module), adapter.folder
    if adapter.network != network:
        raise CheckpointError(f"{folder}: an adapter of {adapter.network}, expected one of {network}")
    layers = lora.adaptable(module)
    if unknown := [target for target in adapter.targets if target not in layers]:
        raise CheckpointError(
            f"{folder}: {len(unknown)} of its layers are not in this {network}, or not adaptable: "
            f"{', '.join(name[:60] for name in unknown[:3])}"
        )
    expected: dict[str, Shape] = {}
    for target in adapter.targets:
        weight = layers[target].weight_v if hasattr(layers[target], "weight_v") else layers[target].weight
        outputs, *rest = weight.shape
        expected[f"{target}.lora_A.weight"] = (adapter.rank, *rest)
        expected[f"{target}.lora_B.weight"] = (outputs, adapter.rank, *(1 for _ in rest[1:]))
    if listing := differences({key: tuple(tensor.shape) for key, tensor in adapter.weights.items()}, expected):
        raise CheckpointError(f"{folder}: does not fit this {network}: {listing}")
    if (digest := base_digest(module)) != adapter.base:
        parent = adapter.lineage.get("start") or adapter.lineage.get("parent") or "the checkpoint it was trained on"
        raise CheckpointError(
            f"{folder}: made for another base of {network} ({adapter.base[:12]}, given is {digest[:12]}): "
            f"use it with {str(parent)[:200]}"
        )


def read(folder: Path | str) -> Adapter:
    """Read the folder of an adapter; nothing in it is run.

    Raises CheckpointError where it is not an adapter, is damaged, or is of an unsupported kind.
    """
    folder = Path(folder)
    missing = [name for name in (WEIGHTS, CONFIG, ABOUT) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not the folder of an adapter: it lacks {', '.join(missing)}")
    about = _json(folder / ABOUT)
    if about.get("format") != FORMAT or about.get("network") not in ("s1", "s2"):
        stated = f"format {str(about.get('format'))[:20]}, network {str(about.get('network'))[:20]}"
        raise CheckpointError(f"{folder / ABOUT}: {stated}; expected format {FORMAT} of s1 or s2")
    if not isinstance(about.get("base"), str) or not isinstance(about.get("lineage"), dict):
        raise CheckpointError(f"{folder / ABOUT}: its base or lineage is missing: it is damaged")
    targets, rank, alpha = _settings(folder / CONFIG)
    return Adapter(
        network=about["network"],
        base=about["base"],
        rank=rank,
        alpha=alpha,
        targets=targets,
        weights=_tensors(folder / WEIGHTS),
        lineage=about["lineage"],
        folder=folder,
    )


def read_voice(folders: Iterable[Path | str]) -> dict[Network, Adapter]:
    """Read the adapters of one voice: one for s1, one for s2, or both.

    Raises CheckpointError as `read`, ConfigError for no folder or two of one network.
    """
    adapters: dict[Network, Adapter] = {}
    for folder in folders:
        adapter = read(folder)
        if other := adapters.get(adapter.network):
            raise ConfigError(f"{other.folder} and {folder} are both adapters of {adapter.network}: give one of them")
        adapters[adapter.network] = adapter
    if not adapters:
        raise ConfigError("no adapter: a voice has one of s1, one of s2, or both")
    return adapters


def _settings(path: Path) -> tuple[tuple[str, ...], int, float]:
    """Layers, rank and alpha of a file of settings."""
    stated = _json(path)
    rank, alpha, targets = (stated.get(key) for key in _FREE)
    if type(rank) is not int or not 0 < rank <= HIGHEST:
        _wrong(path, "r", rank, f"a whole number from 1 to {HIGHEST}")
    if not isinstance(alpha, int | float) or not 0 < alpha <= STRONGEST:
        _wrong(path, "lora_alpha", alpha, f"a number above 0, up to {STRONGEST}")
    if not isinstance(targets, list) or not targets or not all(isinstance(name, str) and name for name in targets):
        _wrong(path, "target_modules", targets, "the full names of the layers")
    supported = json.loads(json.dumps(lora.lora_config(targets, rank, alpha).to_dict(), default=sorted))
    for key, value in stated.items():
        if key not in (*_FREE, *_WORDS) and value != supported.get(key) and (value or key in supported):
            _wrong(path, key[:40], value, f"{supported.get(key)!r}, other kinds of adapters are not supported")
    return tuple(sorted(targets)), rank, float(alpha)


def _wrong(path: Path, key: str, value: object, expected: str) -> NoReturn:
    raise CheckpointError(f"{path}: {key} = {str(value)[:40]}: expected {expected}")


def _json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: {str(error)[:100]}") from error
    if not isinstance(table, dict):
        raise CheckpointError(f"{path}: holds a {type(table).__name__}, expected a table")
    return table


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_header(path)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or cut off ({error}): copy it again") from error
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {key[:80]} holds something else than finite numbers")
    return {key.removeprefix(PREFIX): tensor.float() for key, tensor in tensors.items()}
