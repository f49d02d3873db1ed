"""Benchmark: a sentence spoken, s1 and s2 together. `python tests/bench/speak.py [--threads 2] [--repeats 5]`

The case on which the original needs 1.12 of real time on two cores: 110 phones, of which s1 reads all, a prompt of 125
codes, 126 codes to speak (5.04 s). Networks of the real size, weights by the golden rule. The plain modules in float32
and the engines that `voicemill speak` takes, in turns in one run. Besides: seconds to the first half second of sound,
and what the engines do to it: the log-mel distance of the renderer to float32, for the same codes. (What the engine of
s1 does to its codes is measured by `s1_speed.py`.) Prints a table, writes bench/speak.json.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the root first: both have a folder `model`

from golden import fill, inp  # noqa: E402

from model.device import place  # noqa: E402
from model.mel import LogMel  # noqa: E402
from model.s1.cached import CachedEngine  # noqa: E402
from model.s1.config import S1Config  # noqa: E402
from model.s1.decoder import Text2Semantic  # noqa: E402
from model.s1.engines import engine  # noqa: E402
from model.s1.generate import generate  # noqa: E402
from model.s1.prefix import Engine, Prefix  # noqa: E402
from model.s1.sampling import Sampling  # noqa: E402
from model.s2.config import S2Config  # noqa: E402
from model.s2.inference import prepared  # noqa: E402
from model.s2.synthesizer import Synthesizer  # noqa: E402

CODES, PHONES, PROMPT, TARGET = 126, 110, 125, 70
"""`TARGET`: phones of the new text alone, which s2 reads."""
SECONDS = CODES / 25
OUT = Path("bench/speak.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    s1, s2 = Text2Semantic(S1Config()), Synthesizer(S2Config(), posterior=False)
    s1.load_state_dict(fill(s1.state_dict(), "model."))
    s2.load_state_dict(fill(s2.state_dict()))
    s1.eval(), s2.eval()
    with torch.no_grad():  # a logit of 0 is not among the 15 highest: all 126 codes are spoken
        s1.ar_predict_layer.weight[-1] = 0
    generator = torch.Generator().manual_seed(0)
    phones = torch.randint(732, (PHONES,), generator=generator)
    prefix = Prefix(phones, torch.randint(1024, (PROMPT,), generator=generator))
    ge = s2.reference([inp("s2.refer", (1, 1025, 200)).abs()]).detach()
    ways = {
        "plain modules, float32": (CachedEngine(s1), s2),
        "engines in float32": (engine(s1, "float32"), prepared(copy.deepcopy(s2), place("cpu", "float32"))),
        "as voicemill speak": (fast := engine(s1, "auto"), prepared(copy.deepcopy(s2), place("cpu"))),
        "with --precision int8": (fast, prepared(copy.deepcopy(s2), place("cpu"), eight_bits=True)),
    }
    codes = {name: _say(way[0], prefix) for name, way in ways.items()}
    rows = _timed(
        {
            (name, part): work
            for name, (first, second) in ways.items()
            for part, work in (
                ("s1", lambda first=first: _say(first, prefix)),
                ("s2", lambda second=second, name=name: _render(second, codes[name], phones[-TARGET:], ge)),
                ("first s2", lambda second=second, name=name: _first(second, codes[name], phones[-TARGET:], ge)),
            )
        },
        options.repeats,
    )
    exact = _render(s2, codes["plain modules, float32"], phones[-TARGET:], ge)
    table = []
    for name, (first, second) in ways.items():
        wave = _render(second, codes["plain modules, float32"], phones[-TARGET:], ge)
        row = {"way": name, "engine": first.name, "s1_s": rows[name, "s1"], "s2_s": rows[name, "s2"]}
        row["real_time_factor"] = (rows[name, "s1"] + rows[name, "s2"]) / SECONDS
        row["first_sound_s"] = rows[name, "s1"] + rows[name, "first s2"]
        row["log_mel_distance"] = _distance(wave, exact)
        table.append(row)
    print(f"{PHONES} phones, prompt of {PROMPT}, {CODES} codes = {SECONDS:.2f} s; {options.threads} threads; medians")
    print(f"{'':<26}{'s1 s':>7}{'ms/code':>9}{'s2 s':>7}{'RTF':>7}{'first sound s':>15}{'log-mel':>9}")
    for row in table:
        print(
            f"{row['way']:<26}{row['s1_s']:>7.2f}{row['s1_s'] / CODES * 1000:>9.1f}{row['s2_s']:>7.2f}"
            f"{row['real_time_factor']:>7.3f}{row['first_sound_s']:>15.2f}{row['log_mel_distance']:>9.4f}"
        )
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(table, indent=2))


def _say(first: Engine, prefix: Prefix) -> Tensor:
    """int64 [CODES]."""
    (made,) = generate(first, [prefix], Sampling(), [0], CODES)
    assert len(made.codes) == CODES
    return made.codes


@torch.inference_mode()
def _render(second: Synthesizer, codes: Tensor, phones: Tensor, ge: Tensor) -> Tensor:
    return second.decode(codes[None], phones[None], ge, noise_scale=0)[0]


@torch.inference_mode()
def _first(second: Synthesizer, codes: Tensor, phones: Tensor, ge: Tensor) -> Tensor:
    return next(second.stream(second.prior(codes[None], phones[None], ge).mean, ge, 25))


def _timed(cases: dict[tuple[str, str], Callable[[], object]], repeats: int) -> dict[tuple[str, str], float]:
    """Median wall clock of each, taken in turns after a warm-up."""
    walls: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    for repeat in range(repeats + 1):
        for key, work in cases.items():
            began = time.perf_counter()
            work()
            if repeat:
                walls[key].append(time.perf_counter() - began)
    return {key: median(wall) for key, wall in walls.items()}


def _distance(wave: Tensor, exact: Tensor) -> float:
    """Mean |difference| of the log-mel, natural log."""
    mel = LogMel()
    return float((mel.mel(wave[None].float()) - mel.mel(exact[None])).abs().mean())


if __name__ == "__main__":
    main()
