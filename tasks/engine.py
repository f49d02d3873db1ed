"""Stages as Prefect tasks: the only module of `tasks/` that imports Prefect.

A task run is one stage of one batch; it takes and returns references, and runs in the process that
`workers.execute_anywhere` chooses. Prefect's result cache is off: the content keys decide. Tasks have no tags: Prefect
asks the server for a concurrency slot of every tag before a run, and each new tag cost two seconds.
"""

from functools import cache

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from voicemill.tasks.execute import StageResult, Work
from voicemill.tasks.registry import BY_NAME
from voicemill.tasks.workers import execute_anywhere


@cache
def as_task(stage: str) -> Task[[Work], StageResult]:
    """Prefect task of a stage, with the stage's name and the first line of its module as description."""
    module = BY_NAME[stage].settings.__module__
    description = (__import__(module, fromlist=["_"]).__doc__ or "").strip().splitlines()[0]

    def run_stage(work: Work) -> StageResult:
        return execute_anywhere(work)

    run_stage.__qualname__ = stage  # Prefect derives the key of a task from it: one for each stage
    name = stage + " · batch {work.batch.number}"
    make = task(
        name=stage,
        task_run_name=name,
        description=description,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return make(run_stage)
