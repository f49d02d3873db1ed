"""Students beside their teacher, at real size (weights by the golden rule). `python tests/bench/distil.py`

Speaking: every part of s2 as it speaks (prepared for this machine) and a step of s1, teacher and student in turns, so
that a load on the machine weighs on both alike: medians, least times, and processor seconds of all threads, each with
its speed-up. Other sizes of the small generator stand beside the one that is shipped. Training: what a
step of the s1 student costs with and without its matching terms.
"""

import argparse
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

from voicemill.model.data.minibatch import Minibatch, Totals  # noqa: E402
from voicemill.model.device import place  # noqa: E402
from voicemill.model.s1.config import S1Config  # noqa: E402
from voicemill.model.s1.decoder import Text2Semantic  # noqa: E402
from voicemill.model.s1.engines import engine  # noqa: E402
from voicemill.model.s1.prefix import Prefix  # noqa: E402
from voicemill.model.s2.config import S2Config  # noqa: E402
from voicemill.model.s2.inference import prepare  # noqa: E402
from voicemill.model.s2.synthesizer import Synthesizer  # noqa: E402
from voicemill.model.settings.training import DistillSettings  # noqa: E402
from voicemill.model.training.distil.s1 import S1Distillation  # noqa: E402
from voicemill.model.training.distil.students import matches, size_of, small_config, small_s1  # noqa: E402
from voicemill.model.training.objectives.s1 import Coder  # noqa: E402

CODES, PHONES = 126, 110
SIZES: dict[str, dict[str, object]] = {
    "shipped: 256 channels, kernels 3, 7": {},
    "256 channels, all kernels": {"resblock_kernels": [3, 7, 11], "upsample_channels": 256},
    "128 channels, all kernels (V2 of HiFi-GAN)": {"resblock_kernels": [3, 7, 11], "upsample_channels": 128},
    "128 channels, kernels 3, 7": {"resblock_kernels": [3, 7], "upsample_channels": 128},
}
Cases = dict[str, Callable[[], object]]
Timed = dict[str, dict[str, float]]


def timed(cases: Cases, repeats: int) -> Timed:
    """Times of each case in seconds, measured in turns after one warm-up."""
    wall: dict[str, list[float]] = {name: [] for name in cases}
    used: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats + 1):
        for name, work in cases.items():
            start, cpu = time.perf_counter(), time.process_time()
            work()
            if repeat:
                wall[name].append(time.perf_counter() - start)
                used[name].append(time.process_time() - cpu)
    return {n: {"median_s": median(wall[n]), "least_s": min(wall[n]), "cpu_s": min(used[n])} for n in cases}


def table(title: str, rows: Timed, more: dict[str, str] | None = None) -> None:
    """Markdown table of the times; ratios are to the first row."""
    print(f"\n{title:48}{'median s':>18}{'least s':>18}{'CPU s':>18}")
    first = next(iter(rows.values()))
    for name, row in rows.items():
        cells = [f"{row[key]:.4f} ({first[key] / row[key]:.2f})" for key in row]
        print(f"{name:48}" + "".join(f"{cell:>18}" for cell in cells) + f"  {(more or {}).get(name, '')}", flush=True)


def synthesizers() -> dict[str, Synthesizer]:
    configs = {"teacher": S2Config()}
    for name, sizes in SIZES.items():
        settings = DistillSettings(s2_sizes=sizes) if sizes else DistillSettings()
        configs[name] = small_config(S2Config(), settings)
    networks = {}
    for name, config in configs.items():
        networks[name] = Synthesizer(config, posterior=False).eval()
        networks[name].load_state_dict(fill(networks[name].state_dict()))
    return networks


def speaking_s2(repeats: int) -> dict[str, Timed]:
    networks = synthesizers()
    sizes = {name: (size_of(network.dec), size_of(network.ref_enc)) for name, network in networks.items()}
    ready = {name: prepare(network, place("cpu")) for name, network in networks.items()}
    codes = (torch.arange(CODES) * 37 % 1024)[None]
    phones = (torch.arange(PHONES) * 53 % 732)[None]
    ge, z = 0.1 * inp("bench.ge", (1, 512, 1)), inp("bench.z", (1, 192, 2 * CODES))
    spectrogram = inp("bench.refer", (1, 1025, 250)).abs()
    found = {}
    with torch.inference_mode():
        generators: Cases = {name: lambda s2=s2: s2.dec(z, ge) for name, s2 in ready.items()}
        wholes: Cases = {name: lambda s2=s2: s2.decode(codes, phones, ge) for name, s2 in ready.items()}
        heard: Cases = {name: lambda s2=s2: s2.reference([spectrogram]) for name, s2 in list(ready.items())[:2]}
        for title, cases, part in (("generator", generators, 0), ("whole s2", wholes, -1), ("reference", heard, 1)):
            found[title] = timed(cases, repeats)
            said = {} if part < 0 else {name: f"{sizes[name][part]:,} parameters" for name in cases}
            table(f"{title}, 5.04 s of speech", found[title], said)
    return found


def speaking_s1(repeats: int) -> Timed:
    teacher = Text2Semantic(S1Config()).eval()
    teacher.load_state_dict(fill(teacher.state_dict(), "model."))
    student = small_s1(teacher, matches(24, 6, (4, 8, 12)), 0.0).eval()
    sizes = {name: size_of(network) for name, network in (("teacher", teacher), ("student of 6 layers", student))}
    prefix = Prefix(torch.arange(PHONES) * 53 % 732, torch.arange(100) * 37 % 1024)
    cases: Cases = {}
    for name, network in (("teacher", teacher), ("student of 6 layers", student)):
        ready = engine(network, "auto")

        def say(ready: object = ready) -> None:
            with torch.inference_mode():
                decoding = ready.begin([prefix], 60)  # type: ignore[attr-defined]
                for code in range(50):
                    decoding.advance(torch.tensor([code]))

        cases[name] = say
    found = timed(cases, repeats)
    table("prefix of 210 places and 50 codes of s1", found, {n: f"{s:,} parameters" for n, s in sizes.items()})
    return found


def training(repeats: int) -> Timed:
    """Times of one step of the s1 student: 2 examples of 360 positions."""
    teacher = Text2Semantic(S1Config(dropout=0.0)).eval()
    teacher.load_state_dict(fill(teacher.state_dict(), "model."))
    quantizer = Synthesizer(S2Config(ssl_dim=39, reference_dim=16), posterior=False)
    lengths = torch.tensor([500, 500])
    batch = Minibatch(
        ids=("a", "b"),
        speakers=("x", "x"),
        phones=torch.arange(2 * PHONES).reshape(2, -1) * 53 % 732,
        phone_lengths=torch.tensor([PHONES, PHONES]),
        content=inp("bench.ssl", (2, 39, 502)),
        lengths=lengths,
        seeds=torch.tensor([1, 2]),
        totals=Totals(1, 2, 1000, 500),
    )
    cases: Cases = {}
    base = DistillSettings()
    ways = {
        "soft targets and true codes": {"student_layers": ()},
        "+ hidden states and attention of 64 places": {},
        "the same, attention of all 360 places": {"attention_queries": 10_000},
    }
    for name, changes in ways.items():
        settings = base.model_copy(update=changes)
        found = matches(24, 6, settings.student_layers)
        student = small_s1(teacher, found, 0.0)
        objective = S1Distillation(student, teacher, found, Coder(quantizer), settings)

        def step(objective: S1Distillation = objective) -> None:
            total: Tensor = torch.stack(list(objective.losses("s1", batch).values())).sum()
            total.backward()
            objective.lesson.zero_grad()

        cases[name] = step
    times = timed(cases, repeats)
    table("forward and backward of the s1 student, 2 x 360 places", times)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads; {place('cpu').reason}")
    figures = {
        "speaking s2": speaking_s2(options.repeats),
        "speaking s1": speaking_s1(options.repeats),
        "training s1": training(max(2, options.repeats // 2)),
    }
    out = ROOT / "bench" / "distil.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"threads": options.threads, "figures": figures}, indent=1))
    print(f"\nwritten to {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
