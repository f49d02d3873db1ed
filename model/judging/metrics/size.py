"""Size of a voice: bytes of its files, and weights in them.

The files that a voice is loaded from count; discriminators and adapters beside them do not, and the parameters exclude
the posterior encoder of s2, which only training uses.
"""

from collections.abc import Mapping
from pathlib import Path

from voicemill.model.checkpoints.layout import POSTERIOR

SPEAKING = ("s1", "s2", "light", "onnx")
"""Stems of a card that a voice is loaded from."""
TENSORS = frozenset({".safetensors", ".pth", ".ckpt", ".pt"})


def size(weights: Mapping[str, Path]) -> int:
    """Return the bytes of all files that a voice is loaded from; a stem may be a folder."""
    return sum(file.stat().st_size for path in _speaking(weights) for file in _files(path))


def parameters(weights: Mapping[str, Path]) -> int | None:
    """Return the number of weights that a voice uses; None where they cannot be counted (graphs share and fold them):
    its parent entry has the number."""
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
