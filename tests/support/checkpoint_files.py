"""Weights in the real shapes, and checkpoint files as GPT-SoVITS writes them."""

import io
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voicemill.model.checkpoints.layout import Kind, layout


def weights_of_layout(
    kind: Kind, version: str = "v2", dtype: torch.dtype = torch.float16
) -> "OrderedDict[str, Tensor]":
    """Every tensor of a layout as a view of one storage: real shapes in a small file. Keys of s1 have their prefix."""
    shapes = layout(kind, version)
    sizes = {key: torch.Size(shape).numel() for key, shape in shapes.items()}
    run = torch.linspace(-1, 1, max(sizes.values())).to(dtype)
    prefix = "model." if kind == "s1" else ""
    return OrderedDict((prefix + key, run[: sizes[key]].view(shape)) for key, shape in shapes.items())


def without_posterior(weights: "OrderedDict[str, Tensor]") -> "OrderedDict[str, Tensor]":
    return OrderedDict((key, tensor) for key, tensor in weights.items() if not key.startswith("enc_q."))


def with_first_bytes(path: Path, digits: bytes) -> Path:
    """The file with its first two bytes replaced by `digits`: GPT-SoVITS marks the version of an s2 so."""
    path.write_bytes(digits + path.read_bytes()[2:])
    return path


def rewrite_zip(path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> Path:
    """The zip file rewritten after `change` has edited its members, name -> bytes."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def torch_saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@contextmanager
def hparams() -> Iterator[type]:
    """The class that official files name `utils.HParams`, importable inside the `with` block only."""

    class HParams:
        def __init__(self, **values: Any) -> None:
            for key, value in values.items():
                setattr(self, key, HParams(**value) if isinstance(value, dict) else value)

    HParams.__qualname__, HParams.__module__ = "HParams", "utils"
    module = types.ModuleType("utils")
    module.HParams = HParams
    before = sys.modules.get("utils")
    sys.modules["utils"] = module
    try:
        yield HParams
    finally:
        del sys.modules["utils"]
        if before is not None:
            sys.modules["utils"] = before
