"""One training step at full size, weights drawn: s2 of 4 x 5 s, s1 of 4 x 60 phones and 125 codes.

`python tests/bench/train_step.py [--threads 2] [--repeats 3] [--network s1 s2]`. First the straightforward step, as
GPT-SoVITS computes it: float32, every call of a discriminator with its weights' gradients, AdamW tensor by tensor. (Its
s1 uses ScaledAdam, which makes several passes more over every weight: AdamW tensor by tensor is the cheaper reference.)
Then the objectives under the loop's own stepper, in float32 and in bfloat16 where the machine multiplies it. Cases take
turns; ratios are to the first case, of the least seconds of the clock and of the processor. Where other work runs on
the machine, take `--threads 1` and the processor's: several threads that wait for each other spin, one alone does not.
Cosine: of the whole gradient of the network to that in float32. On a GPU the same, with examples/s and peak memory.
Writes bench/train_step.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from voicemill.model.data.minibatch import Minibatch, Totals  # noqa: E402
from voicemill.model.device import place  # noqa: E402
from voicemill.model.s1.config import S1Config  # noqa: E402
from voicemill.model.s1.decoder import Text2Semantic  # noqa: E402
from voicemill.model.s1.loss import loss  # noqa: E402
from voicemill.model.s2.config import S2Config  # noqa: E402
from voicemill.model.s2.losses import (  # noqa: E402
    Discriminators,
    LossWeights,
    discriminator_loss,
    generator_losses,
    pair,
)
from voicemill.model.s2.synthesizer import Synthesizer  # noqa: E402
from voicemill.model.settings.training import LoopSettings, S1Settings, S2Settings  # noqa: E402
from voicemill.model.training.engine.objective import Objective  # noqa: E402
from voicemill.model.training.engine.ranks import Ranks  # noqa: E402
from voicemill.model.training.engine.stepping import Feed, Stepper  # noqa: E402
from voicemill.model.training.objectives.s1 import Coder, S1Objective  # noqa: E402
from voicemill.model.training.objectives.s2 import S2Objective, draw_noise  # noqa: E402

EXAMPLES, FRAMES, PHONES = 4, 250, 60
RATE = 1e-5
Step = Callable[[], None]


def batch_of(examples: int) -> Minibatch:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.full((examples,), FRAMES)
    return Minibatch(
        ids=tuple(map(str, range(examples))),
        speakers=("ann",) * examples,
        phones=torch.randint(732, (examples, PHONES), generator=generator),
        phone_lengths=torch.full((examples,), PHONES),
        content=torch.randn(examples, 768, FRAMES, generator=generator),
        lengths=lengths,
        seeds=torch.arange(examples),
        totals=Totals(1, examples, examples * FRAMES, examples * (FRAMES // 2)),
        wave=0.1 * torch.randn(examples, FRAMES * 640, generator=generator),
    )


class Timer:
    """Sums the seconds spent in optimisers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, step: Callable[[], object]) -> None:
        began = time.perf_counter()
        step()
        self.seconds.append(time.perf_counter() - began)


def straight_s2(batch: Minibatch, timer: Timer) -> Step:
    network, judges = Synthesizer(S2Config()).train(), Discriminators(S2Config()).train()
    network.ssl_proj.requires_grad_(False)
    mine, theirs = (
        torch.optim.AdamW(m.parameters(), RATE, (0.8, 0.99), 1e-9, foreach=False) for m in (network, judges)
    )
    objective = S2Objective(network, judges, S2Settings())  # for its spectrograms
    network.ssl_proj.requires_grad_(False)

    def step() -> None:
        assert batch.wave is not None
        spectrogram = objective._mel.spectrogram(batch.wave, batch.lengths)
        noise, uniform = draw_noise(batch, 192, FRAMES)
        given = (batch.content, spectrogram, batch.lengths, batch.phones, batch.phone_lengths)
        rendering = network(*given, noise=noise, uniform=uniform)
        both = pair(rendering, batch.wave, spectrogram, objective._mel)
        theirs.zero_grad()
        discriminator_loss(judges(both.real), judges(both.fake.detach())).backward()
        timer(theirs.step)
        mine.zero_grad()
        generator_losses(rendering, both, judges(both.real), judges(both.fake)).total(LossWeights()).backward()
        timer(mine.step)

    return step


def straight_s1(batch: Minibatch, timer: Timer) -> Step:
    network, coder = Text2Semantic().train(), Coder(Synthesizer(S2Config(), posterior=False))
    optimiser = torch.optim.AdamW(network.parameters(), RATE, foreach=False)

    def step() -> None:
        codes, counts = coder(batch.content, batch.lengths)
        optimiser.zero_grad()
        loss(network, batch.phones, None, codes, [PHONES] * len(batch), counts).total.backward()
        timer(optimiser.step)

    return step


class Same:
    """A source that gives one minibatch again and again."""

    def __init__(self, batch: Minibatch) -> None:
        self.batch = batch

    def training(self, start_step: int, rank: int, world: int, accumulate: int) -> Iterator[list[Minibatch]]:
        while True:
            yield [self.batch]

    def validation(self, rank: int, world: int) -> Iterator[Minibatch]:
        return iter(())


def objective_of(network: str) -> Objective:
    torch.manual_seed(0)
    synthesizer = Synthesizer(S2Config())
    if network == "s1":
        return S1Objective(Text2Semantic(S1Config()), Coder(synthesizer), S1Settings())
    return S2Objective(synthesizer, Discriminators(S2Config()), S2Settings())


def stepped(network: str, precision: str, batch: Minibatch, timer: Timer) -> tuple[Step, Tensor]:
    """Run a step of the loop's stepper; the gradient of the network at its first weights."""
    settings = LoopSettings(precision=precision, devices=1)  # type: ignore[arg-type]
    ranks, objective = Ranks(settings), objective_of(network)
    stepper = Stepper(ranks, objective, settings, RATE)
    here = batch.to(ranks.device)
    for module in objective.modules.values():
        module.eval()  # no dropout: what differs is the precision
    torch.stack(list(objective.losses(network, here).values())).sum().backward()
    module: nn.Module = objective.modules[network]
    gradient = torch.cat([p.grad.float().flatten().cpu() for p in module.parameters() if p.grad is not None])
    for optimiser in stepper.optimisers.values():
        once = optimiser.step
        optimiser.step = lambda *a, once=once: timer(once)
    feed, number = Feed(Same(here), ranks, 0, len(batch), 1, print), iter(range(1, 1 << 30))

    def step() -> None:
        stepper.step(next(number), feed)
        if ranks.device.type == "cuda":
            torch.cuda.synchronize()

    return step, gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=EXAMPLES)
    parser.add_argument("--network", nargs="+", choices=("s1", "s2"), default=["s2", "s1"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    placed = place()
    print(f"{options.threads} threads; {placed.reason}")
    found = {network: measured(network, options.batch, options.repeats) for network in options.network}
    out = ROOT / "bench" / "train_step.json"
    out.parent.mkdir(exist_ok=True)
    about = {"threads": options.threads, "batch": options.batch, "device": placed.device.type}
    out.write_text(json.dumps(about | found, indent=1))
    print(f"written to {out.relative_to(ROOT)}")


def measured(network: str, examples: int, repeats: int) -> dict[str, dict[str, float]]:
    batch, on_gpu = batch_of(examples), torch.cuda.is_available()
    timers: dict[str, Timer] = {}
    cases: dict[str, Step] = {}
    gradients: dict[str, Tensor] = {}
    if not on_gpu:
        timers["straightforward, float32"] = timer = Timer()
        cases["straightforward, float32"] = (straight_s1 if network == "s1" else straight_s2)(batch, timer)
    names = ["float32", "bfloat16"] if on_gpu or place("cpu").dtype is torch.bfloat16 else ["float32"]
    for precision in names:
        timers[precision] = Timer()
        cases[precision], gradients[precision] = stepped(network, precision, batch, timers[precision])
    wall: dict[str, list[float]] = {name: [] for name in cases}
    used: dict[str, list[float]] = {name: [] for name in cases}
    peaks: dict[str, int] = {}
    for repeat in range(repeats + 1):  # the first warms up
        for name, step in cases.items():
            if repeat == 1:
                timers[name].seconds.clear()
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            began, cpu = time.perf_counter(), time.process_time()
            step()
            if repeat:
                used[name].append(time.process_time() - cpu)
                wall[name].append(time.perf_counter() - began)
            peaks[name] = torch.cuda.max_memory_allocated() if on_gpu else 0
    first = next(iter(cases))
    print(f"\n{network}: {sum(p.numel() for p in objective_of(network).modules[network].parameters()):,} parameters")
    print(
        f"{'step':28}{'median s':>10}{'least s':>10}{'ratio':>8}{'CPU s':>9}{'ratio':>8}{'optimisers':>12}{'cosine':>9}"
    )
    table: dict[str, dict[str, float]] = {}
    for name in cases:
        each = len(timers[name].seconds) // repeats
        updates = [sum(timers[name].seconds[i * each : (i + 1) * each]) for i in range(repeats)]
        row = {
            "median_s": median(wall[name]),
            "least_s": min(wall[name]),
            "ratio": min(wall[name]) / min(wall[first]),
            "cpu_s": min(used[name]),
            "cpu_ratio": min(used[name]) / min(used[first]),
            "optimisers_s": min(updates),
            "cosine": cosine(gradients[name], gradients["float32"]) if name in gradients else 1.0,
            "examples_per_s": examples / median(wall[name]),
            "peak_bytes": peaks[name],
        }
        table[name] = row
        print(
            f"{name:28}{row['median_s']:>10.3f}{row['least_s']:>10.3f}{row['ratio']:>8.2f}{row['cpu_s']:>9.2f}"
            f"{row['cpu_ratio']:>8.2f}{row['optimisers_s']:>12.3f}{row['cosine']:>9.4f}"
            + (f"   {row['examples_per_s']:.1f} examples/s, {row['peak_bytes'] / 2**30:.2f} GiB" if on_gpu else "")
        )
    return table


def cosine(first: Tensor, second: Tensor) -> float:
    """Cosine of two long vectors, summed in float64."""
    one, other = first.double(), second.double()
    return float(one @ other / (one.norm() * other.norm()))


if __name__ == "__main__":
    main()
