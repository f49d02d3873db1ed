"""What a refresh shows in the Prefect dashboard: its name and tags, a progress bar, tables, a summary.

Image artifacts take a URL only and browsers refuse file:// links, so the report is named by its path and the command
that opens it.
"""

import shlex
from collections.abc import Iterable
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from voicemill.flows.display.progress import Progress
from voicemill.flows.display.summary import Summary
from voicemill.storage.corpus.versions import Cause
from voicemill.storage.outcomes import Reason


def name_run(name: str, tags: list[str]) -> None:
    """Rename the flow run at hand: what it works on is known only once the inbox was scanned."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name, tags=sorted({*flow_run.tags, *tags}))


def say(message: str) -> None:
    """A line in the log of the flow run at hand."""
    get_run_logger().info(message)


def run_address() -> str:
    """Where the dashboard shows the flow run at hand."""
    return f"{PREFECT_API_URL.value().removesuffix('/api')}/v2/runs/flow-run/{flow_run.id}"


class ProgressArtifact:
    """The progress bar of a run; it moves in steps of one per cent, so that the server is not flooded."""

    def __init__(self) -> None:
        made = create_progress_artifact(progress=0.0, key="refresh-progress", description="task runs done")
        self._id = cast(UUID, made)  # a coroutine only where it is called from one
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        share = 100.0 * progress.done / progress.total if progress.total else 0.0
        if share - self._shown >= 1.0 or progress.done == progress.total:
            self.show(share)

    def show(self, share: float) -> None:
        """Set the bar to `share` per cent."""
        self._shown = share
        update_progress_artifact(self._id, progress=round(share, 1))


def show_summary(summary: Summary, causes: Iterable[Cause], by_speaker: list[dict[str, object]]) -> None:
    """Three artifacts on the run's page: where every second went, by reason and by speaker, and a summary."""
    total = sum(summary.seconds.values()) or 1.0
    outcomes = [
        {
            "outcome": cause.outcome,
            "reason": cause.reason,
            "stage": cause.stage,
            "seconds": round(cause.seconds, 1),
            "share": f"{cause.seconds / total:.1%}",
            "uploads wholly": cause.lost,
            "meaning": Reason(cause.reason).meaning if cause.reason else "",
        }
        for cause in sorted(causes, key=lambda cause: -cause.seconds)
    ]
    of = f"version {summary.version}: {_hours(total)}"
    kept = f"{_hours(summary.seconds.get('kept', 0.0))} kept, {summary.speakers} speakers"
    create_table_artifact(table=outcomes, key="refresh-outcomes", description=f"where every second went; {of}")
    create_table_artifact(table=by_speaker, key="refresh-speakers", description=f"every speaker's seconds; {kept}")
    text = _markdown(summary, total)
    create_markdown_artifact(markdown=text, key="refresh-summary", description=f"summary of {of}, {kept}")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h"


def _markdown(summary: Summary, total: float) -> str:
    state = "published" if summary.published else "stands: nothing new"
    uploads = ", ".join(f"{count} {name}" for name, count in summary.uploads.items()) or "none"
    ran = "\n".join(
        f"| {name} | {count.run} | {count.skipped} | {count.failed} | {count.seconds:,.1f} | {count.wall_s:,.1f} |"
        for name, count in summary.stages.items()
    )
    store = shlex.quote(summary.store)
    notes = [f"no consent, held: **{speaker}** ({n} uploads)" for speaker, n in summary.held.items()]
    notes += [f"failed, tried again at the next refresh: `{path}`: {error}" for path, error in summary.failures.items()]
    notes += [f"batch `{batch}` broke, tried again at the next refresh: {why}" for batch, why in summary.broken.items()]
    notes += [f"inbox: {problem}" for problem in summary.problems]
    more = [f"... and {len(notes) - 30} more"] if len(notes) > 30 else []
    listed = "\n".join(f"- {note}" for note in notes[:30] + more)
    return f"""# Corpus version {summary.version} ({state})

{summary.speakers} speakers, {summary.utterances} utterances, {_hours(summary.seconds.get("kept", 0.0))} kept
of {_hours(total)}, in {summary.wall_s:.0f} s. Uploads: {uploads}.

{listed}

| stage | run | skipped | failed | audio s | work s |
|---|---:|---:|---:|---:|---:|
{ran}

Report: `{summary.report}` (open it with `voicemill report --store {store} --open`)

[all artifacts of this refresh](/v2/runs/flow-run/{flow_run.id}?tab=Artifacts) ·
[subflows and task runs](/v2/runs/flow-run/{flow_run.id})
"""
