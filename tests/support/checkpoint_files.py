"""Weights of the real shapes for tests, and the pickles that the original writes."""

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


def shared(kind: Kind, version: str = "v2", dtype: torch.dtype = torch.float16) -> "OrderedDict[str, Tensor]":
    """Every tensor of a layout, all views of one storage: the real shapes in a small file. s1 has its prefix."""
    shapes = layout(kind, version)
    sizes = {key: torch.Size(shape).numel() for key, shape in shapes.items()}
    run = torch.linspace(-1, 1, max(sizes.values())).to(dtype)
    prefix = "model." if kind == "s1" else ""
    return OrderedDict((prefix + key, run[: sizes[key]].view(shape)) for key, shape in shapes.items())


def without_posterior(weights: "OrderedDict[str, Tensor]") -> "OrderedDict[str, Tensor]":
    return OrderedDict((key, tensor) for key, tensor in weights.items() if not key.startswith("enc_q."))


def marked(path: Path, digits: bytes) -> Path:
    """The file with its first two bytes replaced, as the original does."""
    path.write_bytes(digits + path.read_bytes()[2:])
    return path


def repacked(path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> Path:
    """The zip with other entries: `change` gets name -> bytes."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@contextmanager
def hparams() -> Iterator[type]:
    """The class that official files name `utils.HParams`, importable while the file is written, and no longer."""

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
