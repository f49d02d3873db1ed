"""The training loop, on a small real objective: what it learns, keeps, says, and how it ends."""

import json
import math
import resource
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.toy_objective import Built, Circumstances, spec, trained

from voicemill.model.training.engine.run import Progress, RunSpec, finish, progress, result
from voicemill.model.training.main import train


def losses(folder: Path) -> dict[int, dict[str, float]]:
    """By step, of progress.jsonl; every step has one line."""
    lines = list(progress(folder))
    found = {line.step: dict(line.losses) for line in lines}
    assert len(found) == len(lines)
    return found


def ran(folder: Path, what: RunSpec, **how: Any) -> Built:
    """Train a folder; what it was trained with."""
    what.write(folder)
    built = Built(Circumstances(**how))
    assert train(folder, built) == 0
    return built


def same(first: Path, second: Path) -> None:
    """The same training: every logged loss, the result and the exported weights, bit for bit."""
    assert losses(first) == losses(second)
    one, other = result(first), result(second)
    assert one is not None
    assert other is not None
    assert (one.outcome, one.step, one.best, one.losses) == (other.outcome, other.step, other.best, other.losses)
    weights, others = (load_file(folder / "export" / "s2.safetensors") for folder in (first, second))
    assert all(torch.equal(weights[key], others[key]) for key in weights | others)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With dropout, and lines that span checkpoints: to be compared with, not changed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ran(folder, UNEVEN, dropout=0.3)
    return folder


UNEVEN = spec(steps=17, evaluate_every=4, checkpoint_every=5, log_every=3)


def test_it_learns_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = ran(tmp_path, spec(steps=40, evaluate_every=10, checkpoint_every=20))
    found = losses(tmp_path)
    assert list(found) == list(range(1, 41))
    assert found[40]["loss"] < 0.3 * found[1]["loss"]
    assert found[40]["loss"] == pytest.approx(found[40]["mel"] + found[40]["adversarial"])
    assert [step for step, terms in found.items() if "validation/loss" in terms] == [10, 20, 30, 40]
    done = result(tmp_path)
    assert done is not None
    assert (done.outcome, done.step, done.best_step) == ("finished", 40, 40)
    assert done.best == found[40]["validation/loss"]
    assert list(done.exports) == ["s2"]
    assert built.objective is not None
    exported = load_file(done.exports["s2"])
    assert all(torch.equal(exported[key], value) for key, value in built.objective.modules["s2"].state_dict().items())
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "a toy regression"
    assert said[1] == "s2: 214 parameters, 214 of them trained (100.00%)"
    assert any(line.startswith("step 40/40  loss ") and "examples/s" in line and "eta 0:00" in line for line in said)
    assert said[-1] == "finished: 40 steps, best at 40"


def test_what_is_trained_already_is_left_alone(undisturbed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    before = (folder / "result.json").stat().st_mtime_ns, (folder / "progress.jsonl").read_bytes()
    assert trained(folder, crashes_at=1) == 0
    assert ((folder / "result.json").stat().st_mtime_ns, (folder / "progress.jsonl").read_bytes()) == before


@pytest.mark.parametrize("rounds", [2, 3, 8])
def test_accumulation_changes_rounding_alone(tmp_path: Path, rounds: int) -> None:
    ran(tmp_path / "once", spec(steps=12))
    ran(tmp_path / "rounds", spec(steps=12, accumulate=rounds))
    once, accumulated = losses(tmp_path / "once"), losses(tmp_path / "rounds")
    for step, terms in once.items():
        assert accumulated[step] == pytest.approx(terms, rel=2e-5), step


@pytest.mark.parametrize("moments", [(3,), (6,), (1, 2, 7)])
def test_a_broken_training_goes_on_as_if_undisturbed(
    undisturbed: Path, tmp_path: Path, moments: tuple[int, ...]
) -> None:
    UNEVEN.write(tmp_path)
    for moment in moments:
        with pytest.raises(ZeroDivisionError):
            trained(tmp_path, dropout=0.3, crashes_at=moment)
    ran(tmp_path, UNEVEN, dropout=0.3)
    same(tmp_path, undisturbed)


@pytest.mark.parametrize("step", [1, 4, 5, 12, 17])
def test_sigterm_keeps_the_last_step(undisturbed: Path, tmp_path: Path, step: int) -> None:
    UNEVEN.write(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert trained(tmp_path, dropout=0.3, terminated_at=step) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert result(tmp_path) is None
    assert json.loads((tmp_path / f"checkpoints/step-{step:08d}/state.json").read_text())["step"] == step
    again = ran(tmp_path, UNEVEN, dropout=0.3)
    assert again.objective is not None
    assert len(again.objective.computed) == 17 - step
    same(tmp_path, undisturbed)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no state", "half a state", "empty"])
def test_a_damaged_checkpoint_is_passed_over(
    undisturbed: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    UNEVEN.write(tmp_path)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, dropout=0.3, crashes_at=12)
    newest = tmp_path / "checkpoints/step-00000010"
    tensors, state = newest / "tensors.pt", newest / "state.json"
    data = bytearray(tensors.read_bytes())
    if damage == "cut":
        tensors.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        tensors.write_bytes(data)
    elif damage == "no state":
        state.unlink()
    elif damage == "half a state":
        state.write_text(state.read_text()[:40])
    else:
        shutil.rmtree(newest)
        newest.mkdir()
    capsys.readouterr()
    ran(tmp_path, UNEVEN, dropout=0.3)
    said = capsys.readouterr().out
    assert "step-00000010 is damaged" in said
    assert "continues after step 8 of 17" in said
    same(tmp_path, undisturbed)


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").iterdir())


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    what = spec(steps=30, evaluate_every=4, checkpoint_every=3, keep=2)
    ran(tmp_path, what, grows=True)
    assert kept(tmp_path) == [4, 27, 30]


def test_it_stops_when_patience_runs_out_and_exports_the_best(tmp_path: Path) -> None:
    built = ran(tmp_path / "early", spec(steps=100, evaluate_every=5, patience=3, keep=1), grows=True)
    early = result(tmp_path / "early")
    assert early is not None
    assert (early.outcome, early.step, early.best_step) == ("early", 20, 5)
    assert early.detail == "20 steps, best at 5: no improvement in 3 validations"
    assert built.objective is not None
    assert built.objective.evaluations == 4 * 6
    ran(tmp_path / "five", spec(steps=5, evaluate_every=5))
    best, five = (load_file(tmp_path / name / "export/s2.safetensors") for name in ("early", "five"))
    assert all(torch.equal(best[key], five[key]) for key in best | five)


def test_without_a_validation_set_it_trains_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(tmp_path, spec(steps=12, evaluate_every=2, patience=1), held_out=0)
    done = result(tmp_path)
    assert done is not None
    assert (done.outcome, done.step, done.best_step) == ("finished", 12, 12)
    assert math.isnan(done.best)
    assert capsys.readouterr().out.count("no validation set") == 1


@pytest.mark.parametrize("how", ["spoiled", "broken"])
def test_what_is_not_finite_is_named(tmp_path: Path, how: str) -> None:
    what = spec(steps=40, batch=8, accumulate=4, checkpoint_every=1)
    what.write(tmp_path)
    assert trained(tmp_path, **{how: "utterance-12"}) == 3
    stopped = result(tmp_path)
    assert stopped is not None
    assert stopped.outcome == "not_finite"
    step = stopped.step + 1
    assert stopped.detail.startswith(f"step {step}, s2: " + ("mel is" if how == "spoiled" else "the gradient of "))
    named = stopped.detail.split("with utterances ")[1].split(", ")
    assert "utterance-12" in named
    assert len(named) == (2 if how == "spoiled" else 8)  # a loss is told part by part
    assert ("0.weight" in stopped.detail or "0.bias" in stopped.detail) == (how == "broken")
    saved = torch.load(tmp_path / f"checkpoints/step-{stopped.step:08d}/tensors.pt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["modules"]["s2"].values())


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Takes back the limit of address space that a test sets."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("unlimited")
def test_out_of_memory_halves_what_is_computed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(tmp_path / "roomy", spec(steps=6))
    built = ran(tmp_path / "tight", spec(steps=6), megabytes=400, limit_megabytes=1400)
    assert built.objective is not None
    assert built.objective.computed == [8, 4, *[2] * 4 * 6]
    assert built.source is not None
    assert built.source.streams == [(0, 1), (0, 2), (0, 4)]
    said = capsys.readouterr().out
    assert "step 1: out of memory with 8 examples at a time: halved to 4, accumulate = 2; the step is repeated" in said
    assert "step 1: out of memory with 4 examples at a time: halved to 2" in said
    roomy, tight = losses(tmp_path / "roomy"), losses(tmp_path / "tight")
    for step, terms in roomy.items():
        assert tight[step] == pytest.approx(terms, rel=2e-5), step


@pytest.mark.usefixtures("unlimited")
def test_a_resumed_training_remembers_how_much_fits(tmp_path: Path) -> None:
    what = spec(steps=6, checkpoint_every=1)
    what.write(tmp_path)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, megabytes=400, limit_megabytes=1400, crashes_at=2 + 4 + 4)
    built = ran(tmp_path, what, megabytes=400, limit_megabytes=1400)
    assert built.source is not None
    assert built.source.streams[0][1] == 4


@pytest.mark.usefixtures("unlimited")
def test_one_example_that_does_not_fit_is_a_stated_outcome(tmp_path: Path) -> None:
    spec(steps=6).write(tmp_path)
    assert trained(tmp_path, megabytes=3000, limit_megabytes=1400) == 3
    stopped = result(tmp_path)
    assert stopped is not None
    assert (stopped.outcome, stopped.step) == ("no_memory", 0)
    assert "step 1: out of memory with one example at a time on cpu" in stopped.detail


def test_nothing_to_train_on_is_a_stated_outcome_that_may_be_tried_again(tmp_path: Path) -> None:
    spec(steps=6).write(tmp_path)
    assert trained(tmp_path, empty=True) == 3
    stopped = result(tmp_path)
    assert stopped is not None
    assert (stopped.outcome, stopped.detail) == ("no_data", "version 1 holds nothing to train on: 3 x no text")
    assert not stopped.good
    assert trained(tmp_path) == 0
    done = result(tmp_path)
    assert done is not None
    assert done.good


def test_the_learning_rate_warms_up_and_groups_are_scaled(tmp_path: Path) -> None:
    built = ran(tmp_path, spec(steps=8, warmup=4))
    rates = [line.rate for line in progress(tmp_path)]
    assert rates == pytest.approx([2.5e-3, 5e-3, 7.5e-3, *[1e-2] * 5])
    saved = torch.load(tmp_path / "checkpoints/step-00000008/tensors.pt", weights_only=True)
    assert [group["lr"] for group in saved["optimisers"]["s2"]["param_groups"]] == pytest.approx([5e-3, 1e-2])
    assert built.objective is not None


def test_the_learning_rate_falls_to_0_behind_the_last_step(tmp_path: Path) -> None:
    """Constant for six steps, then 4/5 to 1/5 of it, also where the training is continued in the middle of the fall."""
    what = spec(steps=10, checkpoint_every=2)
    phases = {name: phase.model_copy(update={"cooldown": 0.4}) for name, phase in what.settings.phases.items()}
    what = replace(what, settings=what.settings.model_copy(update={"phases": phases}))
    what.write(tmp_path)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, crashes_at=9)
    assert trained(tmp_path) == 0
    assert [line.rate for line in progress(tmp_path)] == pytest.approx([1e-2] * 6 + [8e-3, 6e-3, 4e-3, 2e-3])


def test_tensorboard_has_curves_sounds_and_images_and_no_step_twice(undisturbed: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    what = spec(steps=6, sample_every=3, checkpoint_every=2)
    what.write(tmp_path)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, crashes_at=4)
    ran(tmp_path, what)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    assert {"training/loss", "training/mel", "validation/loss", "rate", "gradient_norm/s2"} <= set(tags["scalars"])
    assert tags["audio"] == ["rendered"]
    assert tags["images"] == ["left"]
    assert [event.step for event in board.Scalars("training/loss")] == [1, 2, 3, 4, 5, 6]
    logged = {event.step: event.value for event in board.Scalars("training/loss")}
    assert logged == pytest.approx({step: terms["loss"] for step, terms in losses(tmp_path).items()}, rel=1e-6)
    assert [event.step for event in board.Audio("rendered")] == [3, 6]


def test_a_line_that_was_being_written_is_taken_out(tmp_path: Path) -> None:
    what = spec(steps=6, checkpoint_every=2)
    what.write(tmp_path)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, crashes_at=4)
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"step":4,"ste')
    ran(tmp_path, what)
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert [Progress(**json.loads(line)).step for line in lines] == [1, 2, 3, 4, 5, 6]


def test_results_are_read_as_they_were_written(undisturbed: Path, tmp_path: Path) -> None:
    known = result(undisturbed)
    assert known is not None
    finish(tmp_path, known)
    assert result(tmp_path) == known
