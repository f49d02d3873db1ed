"""One process of a training: precision, out of memory, seeds, stopping. Several processes: test_processes.py."""

import math
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.toy_objective import Circumstances, Examples, Regression, spec
from torch import Tensor, nn

from voicemill.model.settings.training import LoopSettings
from voicemill.model.training.engine.evaluating import Stopping, evaluate, rows
from voicemill.model.training.engine.ranks import Ranks, out_of_memory
from voicemill.model.training.engine.stepping import Feed, Stepper, Stopped, seed_for
from voicemill.storage.errors import ConfigError


@dataclass(frozen=True)
class Two:
    wave: Tensor
    codes: Tensor


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 64)
        self.seen: torch.dtype | None = None

    def forward(self, x: Tensor) -> tuple[Two, list[Tensor]]:
        product = self.inner(x)
        self.seen = product.dtype
        return Two(product, torch.arange(3)), [product]


def test_a_forward_computes_in_bfloat16_and_gives_float32() -> None:
    module, x = Product(), torch.randn(4, 64)
    exact = module(x)[0].wave
    keys = list(module.state_dict())
    Ranks(LoopSettings(precision="bfloat16")).put(module)
    two, parts = module(x)
    assert type(module) is Product
    assert list(module.state_dict()) == keys
    assert module.seen == torch.bfloat16
    assert two.wave.dtype == parts[0].dtype == torch.float32
    assert two.codes.dtype == torch.int64
    assert 0 < float((two.wave - exact).detach().abs().max()) < 0.03
    assert torch.equal(two.wave, two.wave.bfloat16().float())
    two.wave.sum().backward()
    assert module.inner.weight.grad is not None
    assert module.inner.weight.grad.dtype == torch.float32


def test_a_forward_that_fails_leaves_no_autocast_behind() -> None:
    module = Product()
    Ranks(LoopSettings(precision="bfloat16")).put(module)
    with pytest.raises(RuntimeError):
        module(torch.randn(4, 63))
    assert not torch.is_autocast_enabled("cpu")
    assert module(torch.randn(4, 64))[0].wave.dtype == torch.float32


def test_float32_is_left_as_it_is() -> None:
    module, x = Product(), torch.randn(4, 64)
    exact = module(x)[0].wave
    Ranks(LoopSettings(precision="float32")).put(module)
    assert torch.equal(module(x)[0].wave, exact)


@pytest.mark.skipif(torch.cuda.is_available(), reason="float16 works here")
def test_float16_is_refused_on_a_cpu() -> None:
    with pytest.raises(ConfigError, match="float16"):
        Ranks(LoopSettings(precision="float16"))


def test_real_lack_of_memory_is_recognised_and_other_errors_are_not() -> None:
    with pytest.raises(RuntimeError) as lack:
        torch.empty(1 << 50)
    assert out_of_memory(lack.value)
    with pytest.raises(RuntimeError) as wrong:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not out_of_memory(wrong.value)
    assert not out_of_memory(ValueError("out of memory"))
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))


def test_gradients_are_clipped_to_the_norm_that_is_returned_unclipped() -> None:
    ranks = Ranks(LoopSettings(precision="float32"))
    weight = nn.Parameter(torch.zeros(4))
    weight.grad = torch.full((4,), 5.0)
    assert ranks.step(torch.optim.SGD([weight], 1.0), [weight], 2.0) == pytest.approx(10)
    assert float(weight.detach().norm()) == pytest.approx(2, rel=1e-4)
    for clip in (0.0, 100.0):
        free = nn.Parameter(torch.zeros(4))
        free.grad = torch.full((4,), 5.0)
        ranks.step(torch.optim.SGD([free], 1.0), [free], clip)
        assert free.tolist() == [-5.0] * 4


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_updates_nothing(value: float) -> None:
    ranks = Ranks(LoopSettings(precision="float32"))
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.tensor([1.0, value, 1.0])
    norm = ranks.step(torch.optim.SGD([weight], 1.0), [weight], 5.0)
    assert not math.isfinite(norm)
    assert weight.tolist() == [1, 1, 1]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10**6), st.integers(0, 99)), unique=True, max_size=200))
def test_seeds_of_other_parts_are_others(which: list[tuple[int, int, int]]) -> None:
    found = [seed_for(*one) for one in which]
    assert len(set(found)) == len(found)
    assert all(0 <= seed < 1 << 63 for seed in found)


@given(st.lists(st.floats(0, 9) | st.just(math.nan) | st.just(math.inf), max_size=30), st.integers(1, 5))
def test_stopping_is_over_after_so_many_that_were_not_better(losses: list[float], patience: int) -> None:
    stopping = Stopping(patience)
    for step, loss in enumerate(losses, 1):
        stopping = stopping.after(step, loss)
    finite = [loss for loss in losses if loss < math.inf]
    assert stopping.best == min(finite, default=math.inf)
    assert stopping.best_step == (losses.index(min(finite)) + 1 if finite else 0)
    assert stopping.waited == len(losses) - stopping.best_step
    assert stopping.over == (stopping.waited >= patience)


def test_an_evaluation_that_does_not_fit_is_heard_in_halves() -> None:
    """The validation of the regression, of which a batch of more than two does not fit."""

    class Large(Examples):
        def validation(self, rank: int, world: int):  # type: ignore[no-untyped-def]
            yield whole

    class Narrow(Regression):
        most = 2

        def validate(self, batch):  # type: ignore[no-untyped-def]
            torch.empty(1 << 50 if len(batch) > self.most else 1)
            heard.append(batch.ids)
            return super().validate(batch)

    heard: list[tuple[str, ...]] = []
    ranks, source = Ranks(LoopSettings(precision="float32")), Large(5)
    whole = next(source.training(0, 0, 1, 1))[0]
    narrow, wide = Narrow(Circumstances()), Regression(Circumstances())
    narrow.modules["s2"].load_state_dict(wide.modules["s2"].state_dict())
    in_halves = evaluate(ranks, narrow, source, lambda: False)
    assert [len(ids) for ids in heard] == [2, 1, 2]
    assert sum(heard, ()) == whole.ids
    assert in_halves == pytest.approx(evaluate(ranks, wide, source, lambda: False), rel=1e-6)
    narrow.most = 0
    with pytest.raises(Stopped, match=f"out of memory with one example, {whole.ids[0]}") as stop:
        evaluate(ranks, narrow, source, lambda: False)
    assert stop.value.outcome == "no_memory"
    assert evaluate(ranks, wide, source, lambda: True) == {}


def test_rows_of_a_batch_are_its_examples() -> None:
    whole = next(Examples(5).training(0, 0, 1, 1))[0]
    part = rows(whole, 1, 3)
    assert (part.ids, part.totals) == (whole.ids[1:3], whole.totals)
    assert torch.equal(part.content, whole.content[1:3])
    assert torch.equal(part.lengths, whole.lengths[1:3])
    assert part.wave is None


def test_a_step_has_the_same_dropout_however_often_it_is_computed() -> None:
    """Same weights, same step: the same losses; another step: others."""
    found = []
    for number in (1, 1, 2):
        what, source = spec(steps=5), Examples(8)
        ranks = Ranks(what.settings.loop)
        torch.manual_seed(3)
        stepper = Stepper(ranks, Regression(Circumstances(dropout=0.5)), what.settings.loop, 0.1)
        torch.rand(7)
        feed = Feed(source, ranks, 0, 8, 1, print)
        found.append(stepper.step(number, feed).losses)
    assert found[0] == found[1] != found[2]


def test_one_process_imports_neither_lightning_nor_peft_nor_tensorboard() -> None:
    """They take longer to import than a small training takes to run."""
    code = "import sys, voicemill.model.training.main; print(sorted(sys.modules.keys() & set(sys.argv[1:])))"
    heavy = [
        "lightning_fabric",
        "peft",
        "tensorboard",
        "torchmetrics",
        "torchvision",
        "pandas",
        "sklearn",
        "transformers",
    ]
    found = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
