"""Models stay loaded between runs, have one user at a time, and go when memory is short."""

import gc
import threading
import weakref
from pathlib import Path

import pytest

from voicemill.storage.records import Batch
from voicemill.tasks.contract.models import ModelCache, free_memory, weights_mb
from voicemill.tasks.contract.stage import Inputs


class Model:
    """A model that can be seen to go."""


class Machine:
    """A machine with so much free memory, and a cache on it."""

    def __init__(self, free_mb: int = 1000) -> None:
        self.free_mb = free_mb
        self.cache = ModelCache(lambda: self.free_mb, reserve_mb=100)

    def use(self, key: str, gpu_mb: int = 0) -> "weakref.ref[Model]":
        with self.cache.borrow(key, Model, gpu_mb) as model:
            return weakref.ref(model)


def test_a_model_is_loaded_once() -> None:
    machine = Machine()
    first = machine.use("a")
    assert machine.use("a")() is first() is not None
    assert machine.use("b")() is not first()
    assert machine.cache.loads == 2
    machine.cache.clear()
    assert first() is None
    machine.use("a")
    assert machine.cache.loads == 3


def test_the_least_recently_used_goes_first_when_memory_is_short() -> None:
    machine = Machine()
    a, b = machine.use("a"), machine.use("b")
    assert machine.use("a")() is a()

    class Freeing(Model):
        def __del__(self) -> None:
            machine.free_mb += 60

    with machine.cache.borrow("c", Freeing):
        pass
    machine.free_mb = 50
    machine.cache.trim()
    assert (a(), b()) == (None, None)
    assert machine.free_mb == 110  # the last one was enough
    machine.free_mb = 1000
    a = machine.use("a")
    machine.free_mb = 99
    assert machine.use("b")() is None  # nothing stays
    assert a() is None


def test_a_model_in_use_is_not_dropped() -> None:
    machine = Machine(free_mb=0)
    with machine.cache.borrow("a", Model) as model:
        machine.cache.trim()
        machine.cache.clear()
        with machine.cache.borrow("a", Model) as another:
            assert another is not model
    assert machine.cache.loads == 2


def test_models_share_a_gpu_budget() -> None:
    machine = Machine()
    machine.cache.gpu_budget_mb = 100
    large, on_cpu, small = machine.use("large", 70), machine.use("cpu"), machine.use("small", 30)
    assert None not in (large(), on_cpu(), small())
    more = machine.use("more", 30)
    assert (large(), more() is None, small() is None, on_cpu() is None) == (None, False, False, False)
    with machine.cache.borrow("huge", Model, 400):
        assert (more(), small(), on_cpu() is None) == (None, None, False)
    assert machine.use("huge", 400)() is None  # over the budget alone: loaded for each run


def test_a_run_that_raises_drops_its_models() -> None:
    machine = Machine()
    with pytest.raises(ValueError, match="broken"), Inputs(Batch("b", 1, ()), models=machine.cache) as inputs:
        model = weakref.ref(inputs.model("a", Model))
        assert model() is not None
        raise ValueError("broken")
    gc.collect()
    assert model() is None
    with pytest.raises(OSError, match="no weights"), machine.cache.borrow("a", fail, 50):
        pass
    machine.cache.gpu_budget_mb = 50
    assert machine.use("a", 50)() is not None  # what failed to load takes no part of the budget


def fail() -> Model:
    raise OSError("no weights")


def test_a_stage_borrows_each_model_once() -> None:
    machine = Machine()
    with Inputs(Batch("b", 1, ()), models=machine.cache) as inputs:
        first = inputs.model("a", Model)
        assert inputs.model("a", Model) is first
        assert inputs.model("b", Model) is not first
    assert machine.cache.loads == 2


def test_threads_do_not_share_a_model() -> None:
    cache, together = ModelCache(lambda: 1000, reserve_mb=100), threading.Barrier(4, timeout=30)
    models = []

    def use() -> None:
        with cache.borrow("a", Model) as model:
            models.append(model)
            together.wait()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(models)) == cache.loads == 4


def test_what_a_machine_and_a_model_measure(tmp_path: Path) -> None:
    assert 50 < free_memory() < 2**24
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.safetensors").write_bytes(bytes(3 * 2**20))
    (tmp_path / "vocab.json").write_bytes(bytes(2**20))
    assert weights_mb(tmp_path) == weights_mb(tmp_path / "deep" / "model.safetensors") == 3
