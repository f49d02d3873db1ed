"""Tensors in tables as float16 little-endian bytes and a shape: Delta has no float16, and nested lists read slowly.

Reading needs no voicemill: `numpy.frombuffer(row["data"], "<f2").reshape(row["frames"], row["dims"])`.
"""

import numpy as np
from numpy.typing import NDArray


def encode(array: NDArray[np.floating]) -> bytes:
    """float16 little-endian bytes, C order, of [frames, dims] (or [frames]) of any float type.

    Values beyond float16 (65504) become inf; callers check features for finiteness before.
    """
    return np.ascontiguousarray(array, dtype="<f2").tobytes()


def decode(data: bytes, frames: int, dims: int) -> NDArray[np.float32]:
    """float32 [frames, dims] from the bytes of `encode`.

    Raises ValueError when the bytes do not hold frames * dims values.
    """
    return np.frombuffer(data, dtype="<f2").reshape(frames, dims).astype(np.float32)
