"""The task `train`: one network in one phase, in processes of its own, shown on its page while it runs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from voicemill.flows.display import dashboard
from voicemill.flows.display.training import RunLog, TrainingBoard
from voicemill.flows.report import markdown
from voicemill.flows.service.recovery.attempts import KILLED
from voicemill.model.training.engine import run
from voicemill.model.training.engine.run import Result, RunSpec
from voicemill.storage.errors import StoreError, TrainingFailed
from voicemill.storage.files import erase_folder
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.store import Store
from voicemill.storage.voices.cards import Training, finite_or_none
from voicemill.tasks.training import devices, launch


@task(name="train", task_run_name="{spec.network} · {spec.phase}", cache_policy=NO_CACHE, persist_result=False)
def train(spec: RunSpec, place: str) -> tuple[Training, dict[str, str]]:
    """Train one network in one phase, or take the result of an earlier run that finished.

    Args:
        place: folder of the training.

    Returns:
        Its record for the card, and stem -> path of its exports.

    Raises:
        TrainingFailed: the training stopped with an error or crashed; the message quotes its last lines.
        StoreError: a speaker of the corpus version was forgotten meanwhile; nothing of the folder is left.
    """
    with ended_by_forgetting(spec, Path(place)):
        return _train(spec, Path(place))


def _train(spec: RunSpec, folder: Path) -> tuple[Training, dict[str, str]]:
    title = f"{spec.network} · {spec.phase}"
    holder = f"the training {folder.name} (process {os.getpid()})"

    def waiting(text: str) -> None:
        dashboard.log(f"{title} waits: {text}")

    folder.mkdir(parents=True, exist_ok=True)
    available = devices.gpus()
    processes = devices.process_count(spec.settings.loop.devices, available)
    with devices.locked(folder / ".lock", holder, waiting) as lock:
        result = run.result(folder)
        if result and result.good:
            dashboard.log(f"{title} is trained already, in {folder}")
            return record(spec, folder, result), exports_of(folder, spec.network, result)
        with devices.reserved_devices(processes, holder, available, waiting) as held:
            spec.write(folder)
            check_not_forgotten(spec, folder)
            cpu = f"the CPU, {processes} process{'es' if processes > 1 else ''}"
            device = f"{processes} GPUs" if held.gpus else cpu
            dashboard.log(f"{title} trains on {device}; its whole output is in {folder / 'log.txt'}")
            board, log = TrainingBoard(title), RunLog(dashboard.log)
            ended = launch.launch(
                folder,
                processes=processes,
                gpus=[gpu.select for gpu in held.gpus],
                locks=[lock, *held.files],
                on_line=log,
                on_progress=board.add,
            )
            log.close()
            board.end(f"{ended.outcome}: {ended.detail}")
    if ended.killed:
        dashboard.tag_run(KILLED)
    if ended.result is None or not ended.good:
        output = "\n".join(("", *ended.tail)) if ended.result is None else ""
        raise TrainingFailed(
            f"{title} on corpus version {spec.version} stopped: {ended.outcome}: {ended.detail}. Its folder: "
            f"{folder}{output}"
        )
    return record(spec, folder, ended.result), exports_of(folder, spec.network, ended.result)


@contextmanager
def ended_by_forgetting(spec: RunSpec, folder: Path) -> Iterator[None]:
    """Context that ends a training with a plain message if a speaker of its corpus version is forgotten meanwhile.

    Raises:
        StoreError: that happened; nothing of the folder is left.
    """
    try:
        yield
    except (OSError, TrainingFailed):  # its folder is gone
        check_not_forgotten(spec, folder)
        raise


def check_not_forgotten(spec: RunSpec, folder: Path) -> None:
    """Erase the folder of a training if a speaker of its corpus version was forgotten since it was planned.

    A forgetting leaves its mark before it looks for run.json: either it finds that and erases the folder, which ends
    what trains in it, or its mark is seen here, once run.json is written.

    Raises:
        StoreError: a speaker was forgotten.
    """
    store = Store.open(spec.store)
    if spec.version in forgotten_versions(store):
        erase_folder(folder)
        raise StoreError(
            f"{spec.network} · {spec.phase} on corpus version {spec.version} ended: a speaker of that version was "
            f"forgotten meanwhile, and its folder {folder} is erased. `voicemill refresh` makes a version without them"
        )


def record(spec: RunSpec, folder: Path, result: Result) -> Training:
    """Record of one training for the card of its entry."""
    lines = list(run.progress(folder))
    return Training(
        network=spec.network,
        phase=spec.phase,
        adapt=spec.settings.phases[spec.phase].adapt.kind,
        outcome=result.outcome,
        detail=result.detail,
        steps=result.step,
        best_step=result.best_step,
        best=finite_or_none(result.best),
        losses={term: finite_or_none(value) for term, value in result.losses.items()},
        seconds=lines[-1].seconds if lines else 0.0,
        folder=folder.name,
    )


def exports_of(folder: Path, network: str, result: Result) -> dict[str, str]:
    """Stem -> path of each export; by name, since the store may have been moved after the training.

    Raises:
        TrainingFailed: an export no longer exists.
    """
    paths = {stem: folder / "export" / Path(path).name for stem, path in result.exports.items()}
    for path in paths.values():
        if not path.exists():
            raise TrainingFailed(f"{path}, an export of this training, is gone: remove {folder} to train again")
    return {f"{network}_adapter" if stem == "adapter" else stem: str(path) for stem, path in paths.items()}


def training_table(trainings: Sequence[Training]) -> str:
    """Markdown table of the trainings of an entry."""
    rows = [
        (
            training.network,
            training.phase,
            training.outcome,
            training.steps,
            training.best_step,
            _loss(training.best),
            _loss(training.losses.get("loss")),
            f"{training.seconds:,.0f}",
        )
        for training in trainings
    ]
    columns = ("network", "phase", "outcome", "steps", "best step", "validation loss", "last loss", "seconds")
    return markdown.table(columns, rows, "lllrrrrr")


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
