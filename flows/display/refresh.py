"""Artifacts of a refresh on its page in the Prefect dashboard: a progress bar, two tables, a summary."""

import shlex
from collections.abc import Iterable
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.runtime import flow_run

from voicemill.flows.display.dashboard import show_markdown, show_table
from voicemill.flows.display.progress import Progress
from voicemill.flows.display.summary import HELD, Summary
from voicemill.flows.report import markdown
from voicemill.storage.corpus.ledger import SummaryLine
from voicemill.storage.corpus.text_coverage import TextShare, remedy
from voicemill.storage.corpus.versions import Cause
from voicemill.storage.outcomes import Reason

LISTED = 30
"""Notes in the summary; `voicemill refresh --json` lists all."""


class ProgressArtifact:
    """Progress bar of a refresh. It moves in steps of one per cent, which spares the server."""

    def __init__(self) -> None:
        artifact = create_progress_artifact(progress=0.0, key="refresh-progress", description="task runs done")
        self._id = cast(UUID, artifact)  # a coroutine only if called from one
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        share = 100.0 * progress.done / progress.total if progress.total else 0.0
        if share - self._shown >= 1.0 or progress.done == progress.total:
            self.show(share)

    def show(self, share: float) -> None:
        """Set the bar to `share` per cent."""
        self._shown = share
        update_progress_artifact(self._id, progress=round(share, 1))


def show_summary(
    summary: Summary, causes: Iterable[Cause], by_speaker: Iterable[SummaryLine], texts: Iterable[TextShare] = ()
) -> None:
    """Create the artifacts: seconds by outcome and reason, seconds and text by speaker, and a summary."""
    texts = list(texts)
    total = sum(summary.seconds.values()) or 1.0
    outcomes = [
        {
            "outcome": cause.outcome,
            "reason": cause.reason,
            "stage": cause.stage,
            "seconds": round(cause.seconds, 1),
            "share": f"{cause.seconds / total:.1%}",
            "uploads lost": cause.lost,
            "meaning": Reason(cause.reason).meaning if cause.reason else "",
        }
        for cause in sorted(causes, key=lambda cause: -cause.seconds)
    ]
    of = f"version {summary.version}: {_hours(total)}"
    kept = f"{_hours(summary.seconds.get('kept', 0.0))} kept, {summary.speakers} speakers"
    show_table("refresh-outcomes", outcomes, f"seconds by outcome and reason; {of}")
    show_table("refresh-speakers", map(speaker_row, by_speaker), f"seconds by speaker; {kept}")
    if texts:
        rows = [text_row(share) for share in texts]
        show_table("refresh-text", rows, f"text and word times; {of}")
    text = _markdown(summary, total)
    show_markdown("refresh-summary", text, f"summary of {of}, {kept}")


def speaker_row(line: SummaryLine) -> dict[str, object]:
    """Row of the table of speakers."""
    share = line.kept / line.seconds if line.seconds else 0.0
    parts = {name: round(getattr(line, name), 1) for name in ("silence", "filtered", "failed", "corrupt")}
    kept = {"kept s": round(line.kept, 1), "share kept": f"{share:.0%}"}
    return {"speaker": line.name, "uploads": line.uploads, "seconds": round(line.seconds, 1)} | kept | parts


def text_row(share: TextShare) -> dict[str, object]:
    """Row of the table of texts: one speaker in one language."""
    reason = max(share.gaps, key=lambda name: share.gaps[name], default="")
    return {
        "speaker": share.speaker,
        "language": share.language or "unknown",
        "utterances": share.utterances,
        "seconds": round(share.seconds, 1),
        "with text": f"{share.with_text / share.utterances:.0%}",
        "with word times": f"{share.with_times / share.utterances:.0%}",
        "without text because": remedy(reason, share.language) if share.with_text < share.utterances else "",
    }


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h"


def _markdown(summary: Summary, total: float) -> str:
    state = "published" if summary.published else "unchanged"
    uploads = ", ".join(f"{count} {name}" for name, count in summary.uploads.items()) or "none"
    stages = markdown.table(
        ("stage", "run", "skipped", "failed", "audio s", "work s"),
        [
            (name, count.run, count.skipped, count.failed, f"{count.seconds:,.1f}", f"{count.wall_s:,.1f}")
            for name, count in summary.stages.items()
        ],
        "lrrrrr",
    )
    text, code = markdown.text, markdown.code
    notes = [HELD] if summary.all_held else []
    notes += [
        f"{'**cannot be trained**, ' * bool(gap['untrainable'])}{text(gap['line'])}" for gap in summary.without_text
    ]
    notes += [f"held, no consent: **{text(speaker)}** ({n} uploads)" for speaker, n in summary.held.items()]
    notes += [
        f"failed, the next refresh retries it: {code(path)}: {text(error)}" for path, error in summary.failures.items()
    ]
    notes += [f"batch `{id_}` broke, the next refresh retries it: {text(why)}" for id_, why in summary.broken.items()]
    notes += [f"inbox: {text(problem)}" for problem in summary.problems]
    more = [f"... and {len(notes) - LISTED} more: `voicemill refresh --json` lists all"] if len(notes) > LISTED else []
    listed = "\n".join(f"- {note}" for note in notes[:LISTED] + more)
    return f"""# Corpus version {summary.version} ({state})

{summary.speakers} speakers, {summary.utterances} utterances, {_hours(summary.seconds.get("kept", 0.0))} kept
of {_hours(total)}, in {summary.wall_s:.0f} s. Uploads: {uploads}.

{listed}

{stages}

Report: {code(summary.report)} ({code(f"voicemill report --store {shlex.quote(summary.store)} --open")} opens it)

[all artifacts of this refresh](/v2/runs/flow-run/{flow_run.id}?tab=Artifacts) ·
[subflows and task runs](/v2/runs/flow-run/{flow_run.id})
"""
