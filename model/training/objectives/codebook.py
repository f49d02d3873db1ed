"""The codebook of a network from scratch: k-means over the content features of the corpus.

Two frames of 50 Hz become one of 25 Hz by their mean, and every dimension is brought to mean 0 and variance 1: cepstra
differ by a factor of a hundred, and the loudest would decide every distance. Both are one convolution, `ssl_proj`.
Centres: k-means++ (Arthur and Vassilvitskii 2007) and Lloyd's iterations. Everything is a function of points and seed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.storage.errors import NoData

POINTS = 40
"""Points per centre: with fewer, k-means begins to fit the points themselves (Faiss asks for 39 or more)."""
ITERATIONS = 12
PATIENCE = 16
"""Minibatches without a new utterance after which the corpus is taken as read."""
LARGEST = 1 << 24
"""Distances computed at once: 64 MB."""


@dataclass(frozen=True, eq=False)
class Centres:
    """Result of k-means."""

    centres: Tensor
    """float32 [count, dims]."""
    sizes: Tensor
    """int64 [count]: points nearest to each centre; 0 where there are more centres than different points."""
    distance: float
    """Mean squared distance of the points to their centres."""


def learn_codebook(network: Synthesizer, examples: Iterator[Minibatch], seed: int) -> Centres:
    """Set `ssl_proj` and the codebook of `network` from minibatches with content: about 27 minutes of speech for 1,024
    entries, or all of the corpus.

    Raises NoData: there is no utterance of two frames.
    """
    config = network.config
    points = pairs(examples, POINTS * config.codebook)
    mean, deviation = points.mean(0), points.std(0, correction=0).clamp(min=1e-4)
    found = kmeans((points - mean) / deviation, config.codebook, seed)
    with torch.no_grad():
        network.ssl_proj.weight.copy_((torch.eye(config.ssl_dim) / (2 * deviation))[..., None].expand(-1, -1, 2))
        network.ssl_proj.bias.copy_(-mean / deviation)
        book = network.quantizer.vq.layers[0]._codebook
        book.embed.copy_(found.centres)
        book.embed_avg.copy_(found.centres * found.sizes[:, None])
        book.cluster_size.copy_(found.sizes)
    return found


def pairs(examples: Iterator[Minibatch], wanted: int) -> Tensor:
    """Return means of two frames each, float32 [up to `wanted`, dims], every utterance once. `examples` need not end.

    Raises NoData: no utterance has two frames.
    """
    known: set[str] = set()
    found: list[Tensor] = []
    count = waited = 0
    for batch in examples:
        fresh = [row for row, one in enumerate(batch.ids) if one not in known]
        waited = 0 if fresh else waited + 1
        known.update(batch.ids)
        for row in fresh:
            frames = int(batch.lengths[row]) // 2 * 2
            means = batch.content[row, :, :frames].unflatten(-1, (-1, 2)).mean(-1).T
            found.append(means)
            count += len(means)
        if count >= wanted or waited >= PATIENCE:
            break
    if not count:
        raise NoData("a codebook is made from content features, but no utterance has two frames of them")
    return torch.cat(found)[:wanted].float()


def kmeans(points: Tensor, count: int, seed: int) -> Centres:
    """Return `count` centres of float32 [points, dims], on the device of the points.

    With fewer different points than centres each point is a centre; the other centres lie as far out as the points do
    and have none. A centre that loses all its points moves to the point farthest from its own centre.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = _spread(points, count, generator)
    for _ in range(ITERATIONS):
        nearest, distances = _assigned(points, centres)
        sizes = nearest.bincount(minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        moved = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
        empty = (sizes == 0).nonzero()[:, 0]
        far = distances.topk(min(len(empty), len(points)))
        useful = far.values > 0
        moved[empty[: len(useful)][useful]] = points[far.indices[useful]]
        if torch.equal(moved, centres):
            break
        centres = moved
    nearest, distances = _assigned(points, centres)
    return Centres(centres, nearest.bincount(minlength=count), float(distances.mean()))


def _spread(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Initial centres by greedy k-means++ (Arthur and Vassilvitskii, SODA 2007): each is a point drawn with the square
    of its distance to the centres before it; of 2 + log(count) such points the one that brings all points nearest."""
    trials, lengths = 2 + int(math.log(count)), points.square().sum(-1)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    distances = torch.full((len(points),), torch.inf, device=points.device)
    while True:
        distances = torch.minimum(distances, (points - points[chosen[-1]]).square().sum(-1))
        if len(chosen) == count:
            return points[chosen].clone()
        sums = distances.double().cumsum(0)
        if not float(sums[-1]) > 0:  # every point is a centre
            others = torch.randn(count - len(chosen), points.shape[1], generator=generator).to(points.device)
            others = points.mean(0) + 3 * points.std(0, correction=0) * others
            return torch.cat([points[chosen], others])
        aims = torch.rand(trials, generator=generator, dtype=torch.float64).to(points.device) * sums[-1]
        drawn = torch.searchsorted(sums, aims, right=True).clamp(max=len(points) - 1)
        apart = lengths[:, None] - 2 * points @ points[drawn].T + lengths[drawn]
        left = torch.minimum(apart.clamp(min=0), distances[:, None]).sum(0)
        chosen.append(int(drawn[left.argmin()]))


def _assigned(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each point, int64 [points], and the squared distance to it, float32 [points]."""
    lengths = centres.square().sum(-1)
    nearest = torch.cat(
        [(lengths - 2 * part @ centres.T).argmin(-1) for part in points.split(max(1, LARGEST // len(centres)))]
    )
    return nearest, (points - centres[nearest]).square().sum(-1)
