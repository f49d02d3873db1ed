"""Sampling and the decoding loop of s1: rows of a batch are continued code by code until each of them stops.

From logits to a code, in the order of GPT-SoVITS v2: repetition penalty, top-p (before the temperature), temperature,
top-k, draw. The penalty is that of CTRL (Keskar et al., 2019): the score of every code that occurred is divided by it,
or multiplied where negative. A draw is argmax(p / e) with e ~ Exp(1), which has the distribution p; each row of a batch
draws e from its own generator, so a row does not depend on its neighbours.

Rules of the loop, those of GPT-SoVITS v2: EOS is excluded from the first 11 codes; the repetition penalty covers the
prompt too; a row stops when EOS is drawn, or when EOS is the likeliest after the penalty whatever was drawn (that code
is then dropped), or at `MAX_CODES`.

The result holds the new codes of each row, without prompt and without EOS. The original returns prompt and new codes
in one tensor y with an index, of which callers take y[:, -index:]. Its index is len(codes) after EOS, len(codes) - 1 at
the limit, where callers therefore lose the first new code, and 0 without a prompt, where y holds nothing else. Its
`early_stop_num` = n corresponds to `max_codes` = n + 1.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from voicemill.model.s1.prefix import Engine, Prefix
from voicemill.storage.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How the next code is chosen. Defaults: those of GPT-SoVITS v2."""

    top_k: int = 15
    """Number of likeliest codes to draw from; 1 = greedy, 0 = all."""
    top_p: float = 1.0
    """Largest sum of shares of the likeliest codes to draw from; the likeliest always stays. Above 0, up to 1."""
    temperature: float = 1.0
    """Divisor of the logits; under 1e-5 it counts as 1e-5. 0 or more."""
    repetition_penalty: float = 1.35
    """Divisor of the positive scores of codes that occurred, above 0; 1 = no penalty."""

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise ConfigError(f"sampling.top_k = {self.top_k}: expected 1 or more, or 0 for all codes")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"sampling.top_p = {self.top_p}: expected above 0, up to 1")
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"sampling.temperature = {self.temperature}: expected 0 or more")
        if not (self.repetition_penalty > 0 and math.isfinite(self.repetition_penalty)):
            raise ConfigError(f"sampling.repetition_penalty = {self.repetition_penalty}: expected above 0")


def penalise(logits: Tensor, occurred: Tensor, sampling: Sampling) -> Tensor:
    """Apply the repetition penalty to logits, float32 [batch, vocabulary]: a new tensor of the same shape.

    `occurred`: bool of that shape, True where the code occurred before.
    """
    factor = sampling.repetition_penalty
    if factor == 1:
        return logits
    return torch.where(occurred, torch.where(logits < 0, logits * factor, logits / factor), logits)


def probabilities(scores: Tensor, sampling: Sampling) -> Tensor:
    """Shares to draw from, float32 [batch, vocabulary], each row summing to 1.

    `scores`: penalised logits of the same shape; -inf = excluded.
    """
    if sampling.top_p < 1:
        ordered, indices = scores.sort(dim=-1, descending=True, stable=True)  # of equal ones the first stays
        beyond = ordered.softmax(-1).cumsum(-1) > sampling.top_p
        beyond[:, 0] = False
        scores = scores.masked_fill(torch.empty_like(beyond).scatter_(1, indices, beyond), -math.inf)
    scores = scores / max(sampling.temperature, 1e-5)
    if 0 < sampling.top_k < scores.shape[-1]:
        least = scores.topk(sampling.top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -math.inf)
    return scores.softmax(-1)


def draw(shares: Tensor, generators: Sequence[torch.Generator], noise: Tensor | None = None) -> Tensor:
    """Draw a code for each row, with that row's generator: shares float32 [batch, vocabulary] -> int64 [batch].

    `noise`: float32 buffer of the same shape, which saves an allocation.
    """
    noise = torch.empty_like(shares) if noise is None else noise
    for row, generator in zip(noise, generators, strict=True):
        row.exponential_(generator=generator)
    return (shares / noise).argmax(-1)


MIN_CODES = 11
"""Least length of a row, 0.44 s: EOS is excluded before."""
MAX_CODES = 1500
"""Longest row, 60 s: a row that has not stopped by then does not stop at all."""


class Stop(Enum):
    """Why a row ended."""

    DRAWN = "EOS was drawn"
    LIKELIEST = "EOS was the likeliest, though another code was drawn"
    LIMIT = "as many codes as allowed"


@dataclass(frozen=True, eq=False)
class Continuation:
    """New codes of one row."""

    codes: Tensor
    """int64 [codes] on the CPU, 25 a second; `MIN_CODES` or more unless the limit is lower; see the module."""
    stop: Stop


@dataclass(frozen=True)
class _Step:
    """One step of all rows: the code of each row that continues, and the reason of each row that stopped."""

    codes: dict[int, int]
    stopped: dict[int, Stop]


def generate(
    engine: Engine,
    prefixes: Sequence[Prefix],
    sampling: Sampling,
    seeds: Sequence[int],
    max_codes: int = MAX_CODES,
) -> list[Continuation]:
    """Continue every prefix; row i depends on prefix i and seed i alone, whatever else is in the batch.

    Up to rounding: a batch is another matrix product, which may choose the other of two nearly equal codes.

    Raises:
        ValueError: prefixes do not fit the model, or there are more or fewer seeds than prefixes.
        ConfigError: `max_codes` is below 1.
    """
    rows: list[list[int]] = [[] for _ in prefixes]
    stops: dict[int, Stop] = {}
    for step in _steps(engine, prefixes, sampling, seeds, max_codes):
        for row, code in step.codes.items():
            rows[row].append(code)
        stops |= step.stopped
    return [Continuation(torch.tensor(codes, dtype=torch.int64), stops[row]) for row, codes in enumerate(rows)]


def stream(
    engine: Engine,
    prefix: Prefix,
    sampling: Sampling,
    seed: int,
    chunk: int = 25,
    max_codes: int = MAX_CODES,
) -> Iterator[Tensor]:
    """Yield the codes of `generate` in pieces as they become ready: int64 [chunk], the last one shorter.

    Raises:
        ValueError, ConfigError: as `generate`; ConfigError also for a chunk below 1.
    """
    if chunk < 1:
        raise ConfigError(f"chunk = {chunk}: expected 1 or more codes")
    piece: list[int] = []
    for step in _steps(engine, [prefix], sampling, [seed], max_codes):
        piece += step.codes.values()
        if len(piece) == chunk:
            yield torch.tensor(piece, dtype=torch.int64)
            piece = []
    if piece:
        yield torch.tensor(piece, dtype=torch.int64)


def each_code(
    engine: Engine, prefix: Prefix, sampling: Sampling, seed: int, max_codes: int = MAX_CODES
) -> Generator[int, None, Continuation]:
    """Yield the codes of `generate` one by one, each when it is asked for; return all of them with the reason.

    Raises as `generate`.
    """
    codes: list[int] = []
    stop = Stop.LIMIT
    for step in _steps(engine, [prefix], sampling, [seed], max_codes):
        codes += step.codes.values()
        yield from step.codes.values()
        stop = step.stopped.get(0, stop)
    return Continuation(torch.tensor(codes, dtype=torch.int64), stop)


def _steps(
    engine: Engine, prefixes: Sequence[Prefix], sampling: Sampling, seeds: Sequence[int], max_codes: int
) -> Iterator[_Step]:
    if max_codes < 1:
        raise ConfigError(f"max_codes = {max_codes}: expected 1 or more")
    if len(seeds) != len(prefixes):
        raise ValueError(f"{len(prefixes)} prefixes and {len(seeds)} seeds: expected one seed for each")
    if not prefixes:
        return
    eos = engine.config.eos
    decoding = engine.begin(prefixes, max_codes)
    device = decoding.logits.device
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    occurred = torch.zeros_like(decoding.logits, dtype=torch.bool)
    for row, prefix in zip(occurred, prefixes, strict=True):
        row[prefix.prompt.to(device)] = True
    noise = torch.empty_like(decoding.logits)
    speaking = set(range(len(prefixes)))
    for number in range(max_codes):
        with torch.inference_mode():
            chosen, likeliest = _choose(decoding.logits, occurred, number, eos, sampling, generators, noise)
        drawn, best = chosen.tolist(), likeliest.tolist()
        stopped = {row: Stop.DRAWN for row in speaking if drawn[row] == eos}
        stopped |= {row: Stop.LIKELIEST for row in speaking - stopped.keys() if best[row] == eos}
        speaking -= stopped.keys()
        full = number + 1 == max_codes
        yield _Step(
            {row: drawn[row] for row in sorted(speaking)},
            stopped | (dict.fromkeys(speaking, Stop.LIMIT) if full else {}),
        )
        if full or not speaking:
            return
        occurred.scatter_(1, chosen[:, None], True)
        decoding.advance(chosen)


def _choose(
    logits: Tensor,
    occurred: Tensor,
    number: int,
    eos: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    noise: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the code drawn and the likeliest one, int64 [batch] each; `number` counts the codes before."""
    scores = penalise(logits, occurred, sampling)
    if number < MIN_CODES:
        scores = scores.index_fill(1, torch.tensor([eos], device=scores.device), -math.inf)
    likeliest = scores.argmax(-1)
    if sampling.top_k == 1:
        return likeliest, likeliest
    return draw(probabilities(scores, sampling), generators, noise), likeliest
