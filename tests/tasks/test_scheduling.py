"""Which worker runs what: GPU models are loaded by few workers, other models where they are already."""

import pytest

from voicemill.tasks.config import Config, load
from voicemill.tasks.contract.models import Resources
from voicemill.tasks.scheduling import Slot, choose, gpu_worker_count
from voicemill.tasks.workers import needs_of

GPU = Resources(gpu_mb=6000)


@pytest.mark.parametrize(
    ("workers", "needs", "gpu_mb", "count"),
    [
        (2, [0, 0], 24_000, 2),  # nothing needs the GPU
        (2, [6000, 2000], 0, 2),  # there is none: everything runs on the CPU
        (2, [6000, 2000], 8000, 1),
        (2, [6000, 2000], 16_000, 2),
        (8, [6000, 2000], 24_000, 3),
        (8, [6000, 2000], 4000, 1),  # too small for all: one worker, whose models take turns
    ],
)
def test_as_many_workers_hold_gpu_models_as_the_gpu_has_room_for(
    workers: int, needs: list[int], gpu_mb: int, count: int
) -> None:
    assert gpu_worker_count(workers, [Resources(gpu_mb=need) for need in needs], gpu_mb) == count


def chosen(free: list[Slot], stage: str, need: Resources, gpu_workers: int = 1, busy_cpus: int = 0) -> int | None:
    slot = choose(free, stage, need, workers=3, gpu_workers=gpu_workers, busy_cpus=busy_cpus)
    return slot.number if slot else None


def test_gpu_stages_wait_for_a_gpu_worker_and_others_keep_it_free() -> None:
    first, second, third = Slot(0), Slot(1), Slot(2)
    assert chosen([third, second, first], "transcribe", GPU) == 0
    assert chosen([third, second], "transcribe", GPU) is None
    assert chosen([first, second, third], "denoise", Resources()) == 1
    assert chosen([first], "denoise", Resources()) == 0  # rather than nothing
    assert chosen([], "denoise", Resources()) is None


def test_a_stage_goes_where_its_model_is() -> None:
    slots = [Slot(0), Slot(1, {"denoise"}), Slot(2, {"align"})]
    assert chosen(slots, "align", Resources(), gpu_workers=3) == 2
    assert chosen(slots, "denoise", Resources(), gpu_workers=3) == 1
    assert chosen(slots, "mel", Resources(), gpu_workers=3) == 0


def test_a_stage_waits_for_its_cores() -> None:
    two = Resources(cpus=2)
    assert chosen([Slot(0), Slot(1)], "a", two, busy_cpus=1) == 1
    assert chosen([Slot(0)], "a", two, busy_cpus=2) is None
    assert chosen([Slot(0)], "a", Resources(cpus=9), busy_cpus=0) == 0  # more than there are: alone
    assert chosen([Slot(0)], "a", Resources(cpus=9), busy_cpus=1) is None


def test_the_default_config_needs_no_gpu_and_a_config_for_the_cpu_neither() -> None:
    assert set(needs_of(load()).values()) == {Resources()}
    cpu = {
        "transcribe": {"engine": "whisperx", "device": "cpu"},
        "align": {"models": {"en": "WAV2VEC2_ASR_BASE_960H"}, "device": "cpu"},
        "content": {"engine": "encoder", "device": "cpu"},
    }
    assert set(needs_of(Config.model_validate(cpu)).values()) == {Resources()}
