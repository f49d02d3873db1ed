"""Weights and inputs as functions of their names: the rule that made the golden arrays.

A parameter is drawn from a generator seeded with the CRC-32 of its state-dict key, so two implementations with the same
keys and shapes have the same weights, and no weights file is needed. The rule is the whole interface: changing it here
makes every golden array wrong.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "gptsovits"
"""Golden arrays and key listings; a user's clone does not have them."""


def fill(shapes: Mapping[str, Sequence[int]], prefix: str = "") -> dict[str, Tensor]:
    """{key: shape} (or a state dict) -> {key: float32 tensor}; a key is seeded as `prefix + key`.

    Prefixes of the golden arrays: "" for s2, "D." for its discriminators, "model." for s1 (whose keys are given
    without it), "tiny.model." for the small s1. Raises ValueError for a key that no rule covers.
    """
    return {key: _parameter(prefix + key, _shape(value)) for key, value in shapes.items()}


def inp(name: str, shape: Sequence[int], scale: float = 1.0) -> Tensor:
    """The float32 input called `name`: standard normal x `scale`, seeded by "in." + name."""
    return torch.from_numpy((_normal("in." + name, tuple(shape)) * scale).astype(np.float32))


def _shape(value: Tensor | Sequence[int]) -> tuple[int, ...]:
    return tuple(value.shape if isinstance(value, Tensor) else value)


def _normal(key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    seed = zlib.crc32(key.encode("utf-8")) & 0xFFFFFFFF
    return np.asarray(np.random.RandomState(seed).standard_normal(shape), dtype=np.float64)


def _parameter(key: str, shape: tuple[int, ...]) -> Tensor:
    if key.rsplit(".", 1)[-1] in {"inited", "cluster_size"}:
        return torch.ones(shape)
    return torch.from_numpy(_scaled(key, _normal(key, shape)).astype(np.float32))


def _scaled(key: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    leaf = key.rsplit(".", 1)[-1]
    if leaf in {"embed", "embed_avg"}:
        return x
    if leaf in {"weight_g", "gamma", "alpha"} or (leaf == "weight" and x.ndim == 1):
        return 1 + 0.02 * x
    if leaf in {"bias", "beta", "in_proj_bias", "weight_v"}:
        return 0.02 * x
    if leaf in {"emb_rel_k", "emb_rel_v"}:
        return 0.1 * x
    if leaf not in {"weight", "in_proj_weight"}:
        raise ValueError(f"the golden rule does not cover the parameter {key}")
    if "embedding" in key:
        return x
    base = x / math.sqrt(math.prod(x.shape[1:]))
    if leaf == "in_proj_weight":
        return 2 * base
    endings = {
        "self_attn.out_proj.weight": 0.3,
        "enc_p.proj.weight": 0.2,
        "enc_q.proj.weight": 0.2,
        "dec.conv_post.weight": 5.0,
    }
    return next((factor for ending, factor in endings.items() if key.endswith(ending)), 1.0) * base
