"""s2 at its real size (weights by the golden rule): 126 codes, 110 phones, 5.04 s. `python tests/bench/s2_speed.py`

Every step of the generator towards `model.s2.packed`, one after the other, in turns, so that a load on the machine
weighs on all alike. Ratio: median time of the first step by that of this one; CPU: seconds of all threads. Log-mel
distance: mean |difference| (natural log) of the waveform to float32. Then the parts before the generator, the whole,
a length that was not rendered before, and the time to a first piece of 25 frames (half a second).
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.golden import fill, inp  # noqa: E402

from voicemill.model.audio.mel import LogMel  # noqa: E402
from voicemill.model.device import Placement, place  # noqa: E402
from voicemill.model.s2.config import S2Config  # noqa: E402
from voicemill.model.s2.inference import prepare  # noqa: E402
from voicemill.model.s2.layers import mask  # noqa: E402
from voicemill.model.s2.packed import PackedGenerator  # noqa: E402
from voicemill.model.s2.synthesizer import Synthesizer  # noqa: E402
from voicemill.model.s2.weight_norm import fold  # noqa: E402

CODES, PHONES = 126, 110
SECONDS = CODES / 25
Timed = dict[str, dict[str, float]]


def timed(cases: dict[str, Callable[[], object]], repeats: int) -> Timed:
    """Wall clock (median, least) and CPU seconds (least) of each case, measured in turns after one warm-up."""
    wall: dict[str, list[float]] = {name: [] for name in cases}
    used: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats + 1):
        for name, work in cases.items():
            start, cpu = time.perf_counter(), time.process_time()
            work()
            if repeat:
                wall[name].append(time.perf_counter() - start)
                used[name].append(time.process_time() - cpu)
    return {
        name: {"median_s": median(wall[name]), "least_s": min(wall[name]), "cpu_s": min(used[name])} for name in cases
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = place("cpu")
    print(f"{options.threads} threads; {chosen.reason}")
    model = Synthesizer(S2Config()).eval()
    model.load_state_dict(fill(model.state_dict()))
    folded = copy.deepcopy(model)
    fold(folded)
    half = copy.deepcopy(folded.dec).bfloat16()
    packed = {dtype: PackedGenerator(folded.dec, dtype) for dtype in (torch.float32, torch.bfloat16)}
    ready = prepare(copy.deepcopy(model), Placement(chosen.device, chosen.dtype, chosen.reason))
    codes = (torch.arange(CODES) * 37 % 1024)[None]
    phones = (torch.arange(PHONES) * 53 % 732)[None]
    with torch.inference_mode():
        ge = model.reference([inp("bench.refer", (1, 1025, 250)).abs()])
        prior = model.prior(codes, phones, ge)
        z = model.latent(*prior, 0.5, inp("bench.noise", tuple(prior.mean.shape)))
        moved = model.flow(z, mask(None, z), ge, inverse=True)
        generators: dict[str, Callable[[], Tensor]] = {
            "float32, weight norm at every call": lambda: model.dec(moved, ge),
            "+ weight norm folded": lambda: folded.dec(moved, ge),
            "+ bfloat16 alone": lambda: half(moved.bfloat16(), ge.bfloat16()).float(),
            "folded, packed, float32": lambda: packed[torch.float32](moved, ge),
            "folded, packed, bfloat16": lambda: packed[torch.bfloat16](moved, ge),
        }
        others: dict[str, Callable[[], object]] = {
            "prior": lambda: ready.prior(codes, phones, ge),
            "flow": lambda: ready.flow(z, mask(None, z), ge, inverse=True),
            "decode, as trained": lambda: model.decode(codes, phones, ge),
            "decode, prepared": lambda: ready.decode(codes, phones, ge),
            "first piece of 25 frames": lambda: next(ready.stream(z, ge, 25)),
            "all pieces of 25 frames": lambda: list(ready.stream(z, ge, 25)),
            "all pieces of 100 frames": lambda: list(ready.stream(z, ge, 100)),
        }
        figures = timed({**generators, **others}, options.repeats)
        mel = LogMel()
        exact = mel.mel(generators["+ weight norm folded"]()[:, 0])
        for name, render in generators.items():
            figures[name]["log_mel"] = (mel.mel(render()[:, 0]) - exact).abs().mean().item()
            figures[name]["ratio"] = next(iter(figures.values()))["median_s"] / figures[name]["median_s"]
        figures["decode, prepared"]["ratio"] = (
            figures["decode, as trained"]["median_s"] / figures["decode, prepared"]["median_s"]
        )
        new = [timed_once(lambda n=n: ready.waveform(z[..., :n], ge)) for n in (201, 202, 203, 204)]
        known = [timed_once(lambda n=n: ready.waveform(z[..., :n], ge)) for n in (201, 202, 203, 204)]
    figures["a first length of its rounding, over later"] = {"cpu_s": new[0] - median(known)}
    figures["other new lengths of it, over later"] = {"cpu_s": median(new[1:]) - median(known)}
    print(f"{'case':42} {'median s':>9} {'least s':>9} {'CPU s':>8} {'ratio':>7} {'log-mel':>9}")
    for name, row in figures.items():
        cells = [row.get(key) for key in ("median_s", "least_s", "cpu_s", "ratio", "log_mel")]
        texts = ["-" if value is None else f"{value:.4f}" if i in (0, 1, 2, 4) else f"{value:.2f}"
                 for i, value in enumerate(cells)]  # fmt: skip
        print(f"{name:42} {texts[0]:>9} {texts[1]:>9} {texts[2]:>8} {texts[3]:>7} {texts[4]:>9}")
    out = ROOT / "bench" / "s2_speed.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"threads": options.threads, "seconds": SECONDS, "cases": figures}, indent=1))
    print(f"written to {out.relative_to(ROOT)}")


def timed_once(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
