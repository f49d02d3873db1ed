"""Hostile safetensors headers: refused at once, before a reader makes an object of each name."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from voicemill.model.adapters import files as adapters
from voicemill.model.aligner.aligner import TrainedAligner
from voicemill.model.checkpoints import checkpoint
from voicemill.model.tensor_file import MOST_BYTES, MOST_TENSORS, check_header
from voicemill.storage.errors import CheckpointError, ModelMissing


def with_names(path: Path, count: int) -> Path:
    header = json.dumps(
        {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(count)}
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


READERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": checkpoint.read,
    "adapter": adapters._tensors,
    "aligner": TrainedAligner.load,
}


@pytest.mark.parametrize("count", [400_000, 100_000])
@pytest.mark.parametrize("reader", READERS)
def test_hundreds_of_thousands_of_names(tmp_path: Path, reader: str, count: int) -> None:
    """400,000 took 88 s."""
    path = with_names(tmp_path / "s2.safetensors", count)
    assert (path.stat().st_size > MOST_BYTES) == (count == 400_000)
    began = time.process_time()
    with pytest.raises((CheckpointError, ModelMissing), match=r"are the most") as error:
        READERS[reader](path)
    assert time.process_time() - began < 2
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 400


def test_files_of_any_use_pass(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "small", {"voicemill": "x" * 100_000})
    check_header(tmp_path / "small")
    check_header(with_names(tmp_path / "many", MOST_TENSORS))
    with pytest.raises(CheckpointError, match=f"{MOST_TENSORS + 1:,} tensors"):
        check_header(with_names(tmp_path / "more", MOST_TENSORS + 1))


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"a": ', b"\xff\xfe"])
def test_a_header_that_is_no_json(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="damaged: its header is no JSON"):
        check_header(tmp_path / "file")


def test_a_length_beyond_the_file_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    check_header(tmp_path / "file")
