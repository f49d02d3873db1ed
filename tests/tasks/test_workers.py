"""Worker processes: models are loaded once for all batches that a process works on, and results do not show it."""

from pathlib import Path

import pytest
from support import factories as f

from voicemill.storage.records import Batch
from voicemill.storage.store import Store
from voicemill.tasks import workers
from voicemill.tasks.config import Config
from voicemill.tasks.contract.models import MODELS
from voicemill.tasks.execute import StageResult, Work, execute
from voicemill.tasks.workers import WorkerPool

LOADS = "__import__('voicemill.tasks.contract.models', fromlist=['MODELS']).MODELS.loads"
TEXTS = ("one two three", "zorblatt frumious three", "one zorblatt two")
"""With words that no dictionary has: the aligner learns their pronunciation, and must align them alike ever after."""


def batch_of(number: int) -> Batch:
    return f.make_batch(number, f.upload("ann", number, 3.0, TEXTS[number - 1]))


def align(store: Store, number: int) -> Work:
    """Work of the stage `align` on made-up outputs of the stages before it."""
    batch = batch_of(number)
    artifacts = f.outputs(store, batch)
    inputs = {name: artifacts[name].meta.key for name in ("decode", "slice", "transcribe")}
    key = f"key-{number}"
    return Work(
        stage="align", key=key, batch=batch, inputs=inputs, config=Config(), store=str(store.root), inbox="inbox"
    )


@pytest.mark.slow
def test_one_process_loads_the_aligner_once(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    pool = WorkerPool(1)
    try:
        results = [pool.run(align(store, number)) for number in (1, 2, 3)]
        loads = pool._free[0].executor.submit(eval, LOADS).result()
    finally:
        pool.close()
    assert (loads, [result.ran for result in results]) == (1, [True] * 3)


def test_rows_do_not_depend_on_the_batches_before(tmp_path: Path) -> None:
    MODELS.clear()
    before = MODELS.loads
    store, alone = (Store.open(tmp_path / name, create=True) for name in ("store", "alone"))
    results = [execute(align(store, number)) for number in (1, 2, 3)]
    assert MODELS.loads == before + 1
    MODELS.clear()
    fresh = execute(align(alone, 3))
    assert MODELS.loads == before + 2
    MODELS.clear()
    assert rows(results[2]) == rows(fresh)
    assert results[2].rows == 2


def rows(result: StageResult) -> list[object]:
    from voicemill.storage.corpus.artifacts import Artifact
    from voicemill.storage.records import Aligned

    return list(Artifact(Path(result.uri)).rows(Aligned))


def test_models_go_when_a_run_in_threads_ends() -> None:
    config = Config.model_validate({"run": {"runner": "threads"}})
    with workers.pool(config):
        with MODELS.borrow("test", object):
            pass
        assert MODELS._idle
    assert not MODELS._idle
