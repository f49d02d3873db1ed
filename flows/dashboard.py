"""What a refresh shows in the Prefect dashboard: its name and tags, a progress bar, tables, a summary.

Image artifacts take a URL only and browsers refuse file:// links, so the report is named by its path and the command
that opens it.
"""

from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from flows.progress import Progress
from flows.summary import Summary
from storage.records import Reason


def name_run(name: str, tags: list[str]) -> None:
    """Rename the flow run at hand: what it works on is known only once the inbox was scanned."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name, tags=sorted({*flow_run.tags, *tags}))


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
        if share - self._shown >= 1.0:
            self.show(share)

    def show(self, share: float) -> None:
        """Set the bar to `share` per cent."""
        self._shown = share
        update_progress_artifact(self._id, progress=round(share, 1))


def show_summary(summary: Summary, by_speaker: list[dict[str, object]]) -> None:
    """Three artifacts on the run's page: where every second went, by reason and by speaker, and a summary."""
    total = sum(summary.seconds.values()) or 1.0
    reasons = [
        {"outcome or reason": name, "seconds": round(value, 1), "share": f"{value / total:.1%}", "meaning": meaning}
        for name, value, meaning in [
            *((name, value, "") for name, value in summary.seconds.items()),
            *((name, value, Reason(name).meaning) for name, value in summary.reasons.items()),
        ]
    ]
    create_table_artifact(table=reasons, key="refresh-outcomes", description="where every second went")
    create_table_artifact(table=by_speaker, key="refresh-speakers", description="kept speech by speaker")
    create_markdown_artifact(markdown=_markdown(summary, total), key="refresh-summary", description="summary")


def _markdown(summary: Summary, total: float) -> str:
    state = "published" if summary.published else "unchanged"
    ran = "\n".join(
        f"| {name} | {count.run} | {count.skipped} | {count.failed} | {count.seconds:,.1f} |"
        for name, count in summary.stages.items()
    )
    held = "".join(f"\n- held, no consent: **{speaker}** ({n} uploads)" for speaker, n in summary.held.items())
    failed = "".join(f"\n- failed: `{path}`: {error}" for path, error in list(summary.failures.items())[:20])
    return f"""# Corpus version {summary.version} ({state})

{summary.speakers} speakers, {summary.utterances} utterances, {summary.seconds.get("kept", 0.0) / 3600:.2f} h kept
of {total / 3600:.2f} h, in {summary.wall_s:.0f} s.
{held}{failed}

| stage | run | skipped | failed | audio s |
|---|---:|---:|---:|---:|
{ran}

Report: `{summary.report}` (open it with `voicemill report --store {summary.store} --open`)

[all artifacts of this refresh](/v2/runs/flow-run/{flow_run.id}?tab=Artifacts) ·
[subflows and task runs](/v2/runs/flow-run/{flow_run.id})
"""
