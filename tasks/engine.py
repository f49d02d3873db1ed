"""The one place where a stage becomes a Prefect task.

A task run is one stage of one batch; it takes and returns references, and its work happens wherever
`workers.execute_anywhere` finds a process for it. Prefect's own result cache stays off: the content keys decide.
Tasks carry no tags: Prefect asks the server for a concurrency slot of every tag before a run, and each new tag cost two
seconds.
"""

from functools import cache

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from voicemill.tasks.execute import StageResult, Work
from voicemill.tasks.registry import BY_NAME
from voicemill.tasks.workers import execute_anywhere


@cache
def as_task(stage: str) -> Task[[Work], StageResult]:
    """The task of a stage, under the stage's name and with the first line of its module as description."""
    module = BY_NAME[stage].settings.__module__
    description = (__import__(module, fromlist=["_"]).__doc__ or "").strip().splitlines()[0]

    def run_stage(work: Work) -> StageResult:
        return execute_anywhere(work)

    run_stage.__qualname__ = stage  # Prefect's key of a task comes from it: one for each stage, not one for all
    name = stage + " · batch {work.batch.number}"
    make = task(
        name=stage,
        task_run_name=name,
        description=description,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return make(run_stage)
