"""Bounds on a safetensors file, checked on its header before any library opens it.

The header is JSON with an entry for each tensor; readers make an object of each. A file of 400,000 names took 88 s and
said nothing. Our largest one has 1,300 names and 200 kB. Format: https://github.com/huggingface/safetensors#format
"""

import json
from pathlib import Path

from voicemill.storage.errors import CheckpointError

MOST_BYTES = 16 * 2**20
"""Largest header: lineages with thousands of speakers stand in it too."""
MOST_TENSORS = 20_000


def check_header(path: Path) -> None:
    """Check the size of the header and the number of its tensors; what is wrong with it otherwise, its reader says.

    Raises:
        CheckpointError: it is larger than any model needs.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > path.stat().st_size:
            return  # cut off, or no such file: its reader says so
        if size > MOST_BYTES:
            raise CheckpointError(f"{path}: a header of {size:,} bytes, of which {MOST_BYTES:,} are the most")
        header = file.read(size)
    try:
        tensors = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: its header is no JSON ({str(error)[:100]}): copy it again") from error
    if isinstance(tensors, dict) and len(tensors) > MOST_TENSORS:
        raise CheckpointError(f"{path}: {len(tensors):,} tensors, of which {MOST_TENSORS:,} are the most")
