"""Graphs whose constants lie where no constants of theirs lie: nothing outside the folder of graphs is read."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

from voicemill.model.export.folder import GraphFolder, Manifest
from voicemill.model.export.running import Session
from voicemill.model.onnx_graph import ConstantFile, Graph
from voicemill.storage.errors import CheckpointError

VALUES = np.arange(2048, dtype=np.float32)


def write_graph(folder: Path, location: str) -> GraphFolder:
    """A graph that adds a constant, stored at `location`, to its input."""
    content = io.BytesIO()
    graph = Graph(ConstantFile(location, content))  # type: ignore[arg-type]
    graph.input("x", "float32", [VALUES.size])
    graph.node("Add", ["x", graph.constant("c", VALUES)], ["y"])
    graph.output("y", "float32", [VALUES.size])
    (folder / "s1_first.onnx").write_bytes(graph.model())
    return GraphFolder(folder, Manifest(voice="full", precision="float32"))


def place(folder: Path, case: str) -> str:
    """Prepare one case; returns the location that the graph states."""
    secret = folder.parent / "secret.bin"
    secret.write_bytes(VALUES.tobytes())
    name = {"above": "../secret.bin", "absolute": str(secret), "missing": "nowhere.bin"}.get(case, "s1.bin")
    path = folder / "s1.bin"
    if case == "link":
        path.symlink_to(secret)
    elif case == "device":
        path.symlink_to("/dev/zero")
    elif case == "pipe":
        os.mkfifo(path)
    elif case == "cut off":
        path.write_bytes(VALUES[:100].tobytes())
    return name


@pytest.mark.parametrize("case", ["above", "absolute", "link", "device", "pipe", "missing", "cut off"])
def test_constants_outside_the_folder_are_not_read(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    folder.mkdir()
    graphs = write_graph(folder, place(folder, case))
    with pytest.raises(CheckpointError, match=r"s1_first\.onnx: ONNX Runtime cannot read this graph"):
        Session(graphs, "s1_first", 1)


def test_constants_in_the_folder_are_read(tmp_path: Path) -> None:
    graphs = write_graph(tmp_path, "s1.bin")
    (tmp_path / "s1.bin").write_bytes(VALUES.tobytes())
    (result,) = Session(graphs, "s1_first", 1)(x=np.ones_like(VALUES))
    np.testing.assert_array_equal(result, VALUES + 1)
