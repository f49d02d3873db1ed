"""How large what speaks is: bytes of its files, and weights in them.

Counted is what a voice is loaded from; discriminators and adapters kept beside it are not, nor in parameters the
posterior encoder of s2, which only training runs.
"""

from collections.abc import Mapping
from pathlib import Path

from voicemill.model.checkpoints.layout import POSTERIOR

SPEAKING = ("s1", "s2", "light", "onnx")
"""Stems of a card that are loaded to speak."""
TENSORS = frozenset({".safetensors", ".pth", ".ckpt", ".pt"})


def size(weights: Mapping[str, Path]) -> int:
    """Bytes of all files that speak; a stem may be a folder."""
    return sum(file.stat().st_size for path in _speaking(weights) for file in _files(path))


def parameters(weights: Mapping[str, Path]) -> int | None:
    """Weights of all networks that speak; None where a stem is of a form in which they are not countable (graphs share
    and fold them): ask the entry that it was made from."""
    paths = _speaking(weights)
    if not paths or any(path.suffix not in TENSORS for path in paths):
        return None
    return sum(_count(path) for path in paths)


def _speaking(weights: Mapping[str, Path]) -> list[Path]:
    return [path for stem, path in weights.items() if stem in SPEAKING]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _count(path: Path) -> int:
    import math

    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118  # it is no mapping
    else:
        from voicemill.model.checkpoints.checkpoint import read

        shapes = {key: tensor.shape for key, tensor in read(path).weights.items()}
    return sum(math.prod(shape) for key, shape in shapes.items() if not key.startswith(POSTERIOR))
