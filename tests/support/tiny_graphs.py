"""ONNX graphs of the tiny networks: written to a folder, opened, compared with torch."""

from collections.abc import Callable
from pathlib import Path

import torch

from voicemill.model.export.draft import Draft, Precision
from voicemill.model.export.folder import GraphFolder, Manifest, new_folder, read_folder
from voicemill.model.export.running import Session

LOOSE: dict[Precision, float] = {"float32": 3e-5, "float16": 5e-3, "int8": 6e-2}
"""Largest error of a graph at each precision, as `relative_error` gives it."""


def write(folder: Path, network: str, graphs: dict[str, Callable[[Draft], None]], precision: Precision) -> GraphFolder:
    """A folder with these graphs of one network and no others."""
    with new_folder(folder, precision, lambda: Manifest("full", precision)) as writer:
        writer.network(network, list(graphs.items()))
    return read_folder(folder)


def session(folder: Path, build: Callable[[Draft], None], precision: Precision = "float32") -> Session:
    """A session of one graph on one thread."""
    return Session(write(folder / precision, "net", {"graph": build}, precision), "net_graph", 1)


def relative_error(actual: object, expected: torch.Tensor) -> float:
    """Root mean square of the difference, in standard deviations of `expected`."""
    values = torch.as_tensor(actual)
    assert values.shape == expected.shape
    return float((values - expected).square().mean().sqrt() / expected.std())
