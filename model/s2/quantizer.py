"""The codebook of semantic codes (VQ-VAE, van den Oord et al. 2017): nearest entry, and entry by number.

It is frozen: s1 was trained on its codes, and GPT-SoVITS never updates it either. The moving averages that its training
left behind are kept, because checkpoints hold them.
"""

import torch
from torch import Tensor, nn


class Codebook(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Buffers of a trained codebook: `embed` [entries, dim], and its moving averages, which nothing reads."""

    embed: Tensor

    def __init__(self, entries: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.ones(entries))
        self.register_buffer("embed", torch.randn(entries, dim))
        self.register_buffer("embed_avg", self.embed.clone())


class Quantizer(nn.Module):  # type: ignore[misc]
    """One codebook, under the names of a residual quantizer with one layer."""

    def __init__(self, entries: int, dim: int) -> None:
        super().__init__()
        layer = nn.Module()
        layer._codebook = Codebook(entries, dim)
        self.vq = nn.Module()
        self.vq.layers = nn.ModuleList([layer])

    @property
    def embed(self) -> Tensor:
        """float32 [entries, dim]."""
        return self.vq.layers[0]._codebook.embed

    def codes(self, x: Tensor) -> Tensor:
        """[batch, dim, time] -> int64 [batch, time]: the entry at the smallest Euclidean distance."""
        flat = x.mT
        distance = self.embed.square().sum(-1) - 2 * flat @ self.embed.T  # + |x|^2, the same for every entry
        return distance.argmin(-1)

    def rows(self, codes: Tensor) -> Tensor:
        """int64 [batch, time] -> [batch, dim, time]."""
        return self.embed[codes].mT
