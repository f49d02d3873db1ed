"""The decoding loop of s1: rows of a batch are continued code by code until each of them stops.

Rules of GPT-SoVITS v2: EOS is excluded from the first 11 codes; the repetition penalty looks at the prompt too; a row
stops when EOS is drawn, or when EOS is the likeliest after the penalty whatever was drawn (that code is then dropped),
or at `MAX_CODES`.

What is returned: the new codes of each row, without prompt and without EOS. The original returns prompt and new codes
in one tensor y with an index, of which callers take y[:, -index:]. Its index is len(codes) after EOS, len(codes) - 1 at
the limit, where callers so lose the first new code, and 0 without a prompt, where y holds nothing else. Its
`early_stop_num` = n stands for `max_codes` = n + 1.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from voicemill.model.s1.prefix import Engine, Prefix
from voicemill.model.s1.sampling import Sampling, draw, penalised, probabilities
from voicemill.storage.errors import ConfigError

MIN_CODES = 11
"""0.44 s: as many are always spoken."""
MAX_CODES = 1500
"""60 s: a row that has not stopped by then never will."""


class Stop(Enum):
    """Why a row ended."""

    DRAWN = "EOS was drawn"
    LIKELIEST = "EOS was the likeliest, though another code was drawn"
    LIMIT = "as many codes as allowed"


@dataclass(frozen=True, eq=False)
class Generated:
    """What one row says."""

    codes: Tensor
    """int64 [codes] on the CPU, 25 a second; `MIN_CODES` or more unless the limit is lower. See the module's text."""
    stop: Stop


@dataclass(frozen=True)
class _Step:
    """One step of all rows: the code of each row that still speaks, and why each row stopped that did."""

    codes: dict[int, int]
    stopped: dict[int, Stop]


def generate(
    engine: Engine,
    prefixes: Sequence[Prefix],
    sampling: Sampling,
    seeds: Sequence[int],
    max_codes: int = MAX_CODES,
) -> list[Generated]:
    """Continues every prefix; row i depends on prefix i and seed i alone, whatever else is in the batch.

    Up to rounding: a batch is another matrix product, and where two codes are as good as equal it may choose the other.

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
    return [Generated(torch.tensor(codes, dtype=torch.int64), stops[row]) for row, codes in enumerate(rows)]


def stream(
    engine: Engine,
    prefix: Prefix,
    sampling: Sampling,
    seed: int,
    chunk: int = 25,
    max_codes: int = MAX_CODES,
) -> Iterator[Tensor]:
    """The codes of `generate` in pieces, each as soon as it is there: int64 [chunk], the last one shorter.

    Raises:
        ValueError, ConfigError: as `generate`; ConfigError also for a chunk below 1.
    """
    if chunk < 1:
        raise ConfigError(f"chunk = {chunk}: expected 1 or more codes")
    held: list[int] = []
    for step in _steps(engine, [prefix], sampling, [seed], max_codes):
        held += step.codes.values()
        if len(held) == chunk:
            yield torch.tensor(held, dtype=torch.int64)
            held = []
    if held:
        yield torch.tensor(held, dtype=torch.int64)


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
    seen = torch.zeros_like(decoding.logits, dtype=torch.bool)
    for row, prefix in zip(seen, prefixes, strict=True):
        row[prefix.prompt.to(device)] = True
    noise = torch.empty_like(decoding.logits)
    speaking = set(range(len(prefixes)))
    for number in range(max_codes):
        with torch.inference_mode():
            chosen, likeliest = _choose(decoding.logits, seen, number, eos, sampling, generators, noise)
        drawn, best = chosen.tolist(), likeliest.tolist()
        stopped = {row: Stop.DRAWN for row in speaking if drawn[row] == eos}
        stopped |= {row: Stop.LIKELIEST for row in speaking - stopped.keys() if best[row] == eos}
        speaking -= stopped.keys()
        last = number + 1 == max_codes
        yield _Step(
            {row: drawn[row] for row in sorted(speaking)},
            stopped | (dict.fromkeys(speaking, Stop.LIMIT) if last else {}),
        )
        if last or not speaking:
            return
        seen.scatter_(1, chosen[:, None], True)
        decoding.advance(chosen)


def _choose(
    logits: Tensor,
    seen: Tensor,
    number: int,
    eos: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    noise: Tensor,
) -> tuple[Tensor, Tensor]:
    """The code drawn and the likeliest one, int64 [batch] each; `number` counts the codes before."""
    scores = penalised(logits, seen, sampling)
    if number < MIN_CODES:
        scores = scores.index_fill(1, torch.tensor([eos], device=scores.device), -math.inf)
    likeliest = scores.argmax(-1)
    if sampling.top_k == 1:
        return likeliest, likeliest
    return draw(probabilities(scores, sampling), generators, noise), likeliest
