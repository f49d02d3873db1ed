"""Checkpoints: whole or not there, the last ones and the best kept, read back bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kill_points import run

from voicemill.model.training.engine.checkpointing import Checkpoints, State

TENSORS = {"modules": {"s2": {"weight": torch.arange(12.0).view(3, 4)}}, "scaler": {}}


def state(step: int, best_step: int = 0) -> State:
    return State(step=step, best=0.1 + 0.2, best_step=best_step, waited=2, parts=4, seconds=1 / 3, sums={"mel": 2 / 7})


def opened(folder: Path, keep: int = 3, warned: list[str] | None = None) -> Checkpoints:
    return Checkpoints(folder, keep, (warned if warned is not None else []).append)


def test_it_comes_back_bit_for_bit(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    assert kept.latest() is None
    kept.save(state(5), TENSORS)
    assert kept.latest() == state(5)
    assert torch.equal(kept.tensors(5)["modules"]["s2"]["weight"], TENSORS["modules"]["s2"]["weight"])
    with pytest.raises(OSError, match="step-00000006"):
        kept.tensors(6)


@settings(max_examples=30)
@given(steps=st.lists(st.integers(1, 99), min_size=1, max_size=9, unique=True), keep=st.integers(1, 4), data=st.data())
def test_the_last_ones_and_the_best_are_kept(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], keep: int, data: st.DataObject
) -> None:
    kept = opened(tmp_path_factory.mktemp("kept"), keep)
    steps = sorted(steps)
    best = 0
    for step in steps:
        best = data.draw(st.sampled_from([best, step]))
        kept.save(state(step, best), TENSORS)
    assert set(kept.steps()) == {*steps[-keep:], *([best] if best else [])}


def test_the_same_step_is_replaced(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.save(state(5), TENSORS)
    kept.save(state(5, 5), TENSORS | {"scaler": {"scale": 2.0}})
    assert kept.latest() == state(5, 5)
    assert kept.tensors(5)["scaler"] == {"scale": 2.0}


@given(st.data())
@settings(max_examples=25)
def test_any_damaged_byte_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    warned: list[str] = []
    folder = tmp_path_factory.mktemp("damaged")
    kept = opened(folder, warned=warned)
    kept.save(state(4), TENSORS)
    kept.save(state(5), TENSORS)
    path = folder / "step-00000005/tensors.pt"
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    assert kept.latest() == state(4)
    assert len(warned) == 1
    assert "step-00000005 is damaged" in warned[0]


def test_a_state_of_other_fields_is_passed_over(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.save(state(4), TENSORS)
    kept.save(state(5), TENSORS)
    path = tmp_path / "step-00000005/state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unknown": 1}))
    assert kept.latest() == state(4)


def saved(folder: Path) -> None:
    kept = opened(folder, keep=1)
    kept.save(state(1), TENSORS)
    kept.save(state(2, 2), TENSORS)
    kept.save(state(3, 2), TENSORS)


# on a push: every third moment and the last; nightly: all
@pytest.mark.slow
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_killed_at_any_moment_of_writing_the_newest_is_whole(tmp_path: Path, stride: int) -> None:
    count = run(saved, tmp_path / "whole", root=tmp_path / "whole")
    seen = set()
    for at in sorted({*range(1, count + 1, stride), count}):
        warned: list[str] = []
        folder = tmp_path / str(at)
        run(saved, folder, root=folder, at=at)
        kept = opened(folder, 1, warned)
        found = kept.latest()
        seen.add(found.step if found else 0)
        assert found is None or found == state(found.step, 2 if found.step > 1 else 0)
        assert not warned
        assert not list(folder.glob(".*"))
        saved(folder)
        assert kept.latest() == state(3, 2)
        assert kept.steps() == [2, 3]
    assert seen == {0, 1, 2, 3}
