"""The flow `promote`: an entry is judged beside the champion of its lane, and takes its place if the gate lets it."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import deployment
from prefect.states import Completed

from voicemill.flows import actor, events
from voicemill.flows.display import dashboard
from voicemill.flows.evaluate import Evaluated, evaluate
from voicemill.flows.plans.promote import PromoteOptions, PromotionPlan, plan_promotion
from voicemill.model.judging.promotion import Row, Verdict, decide
from voicemill.model.judging.scores import Scores, shown
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.errors import Retired, StageConflict
from voicemill.storage.files import read_json
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.status import Change

__all__ = ["PromoteOptions", "Promoted", "promote"]

ATTEMPTS = 3
"""At a promotion that another one comes before: each is judged against the champion of then."""


@dataclass
class Promoted:
    """Result of `promote`; `voicemill voices promote --json` prints it."""

    entry: str
    """The challenger, "anna/0003"."""
    kind: str
    promoted: bool
    verdict: str
    """Promoted, Forced, Champion stays, Not promoted (there is no champion), Champion already, Retired."""
    reason: str
    champion: str
    """Of the lane, now; "" = none."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """`voicemill.model.judging.promotion.Row`."""
    report: str = ""
    """Page to listen to."""
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


@flow(name="promote", persist_result=False)
def promote(options: PromoteOptions) -> Promoted:
    """Judge an entry beside its champion; let the gate decide; make it champion, or say why the champion stays."""
    began = time.perf_counter()
    try:
        plan = plan_promotion(options)
    except Retired as error:  # meanwhile; nothing is wrong with the run
        name = f"{options.voice}/{options.number:04d}"
        return ended(Promoted(name, "", False, "Retired", str(error), ""), began)
    entry = plan.entry
    if plan.standing.of(entry.number) == "champion":
        reason = f"{entry.name} is the champion ({entry.card.kind}) already"
        if not any(other.card.parent == entry.name for other in voices.entries(plan.store, entry.card.voice)):
            events.voice_promoted(plan.store, entry)  # its event may have been lost: nothing was made of it
        return ended(Promoted(entry.name, entry.card.kind, False, "Champion already", reason, entry.name), began)
    if options.force:
        change = make_champion(plan, plan.champion, options.force, forced=True)
        return won(plan, Promoted(entry.name, entry.card.kind, True, "Forced", change.why, entry.name), began)
    for attempt in range(ATTEMPTS):
        against = plan.champion
        heard = evaluate(plan.heard(against))
        verdict = decide(*scores_of(plan, heard, against), plan.gate, entry.card.kind)
        result = account(plan, verdict, heard, against)
        if not verdict.promote:
            return ended(result, began)
        try:
            make_champion(plan, against, verdict.reason)
        except StageConflict as conflict:
            if plan.standing.of(entry.number) == "champion":
                reason = f"{entry.name} was promoted by another run meanwhile"
                return ended(
                    Promoted(entry.name, entry.card.kind, False, "Champion already", reason, entry.name), began
                )
            if attempt == ATTEMPTS - 1:
                raise
            dashboard.say(f"judged again: {conflict}")
        else:
            return won(plan, result, began)
    raise AssertionError("the last attempt returns or raises")


def scores_of(plan: PromotionPlan, heard: Evaluated, against: int) -> tuple[Scores, Scores | None]:
    """The evaluations of challenger and champion."""
    found = {each.entry: Scores.from_json(read_json(Path(each.scores))) for each in heard.entries}
    champion = f"{plan.entry.card.voice}/{against:04d}"
    return found[plan.entry.name], found[champion] if against else None


def make_champion(plan: PromotionPlan, against: int, why: str, *, forced: bool = False) -> Change:
    """Write it down; raises StageConflict where the champion is no longer the one that it was compared with."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    kind = plan.entry.card.kind
    return stages.promote(
        plan.folder, plan.entry.number, kind, instead_of=against, who=who(), when=when, why=why, forced=forced
    )


def who() -> str:
    """Who changes a stage: the deployment that started this run, or the user of this machine."""
    return f"deployment promote/{deployment.name}" if deployment.id else actor.user()


def account(plan: PromotionPlan, verdict: Verdict, heard: Evaluated, against: int) -> Promoted:
    """What the result says of a verdict."""
    stays = "Champion stays" if against else "Not promoted"
    entry = plan.entry
    return Promoted(
        entry.name,
        entry.card.kind,
        verdict.promote,
        "Promoted" if verdict.promote else stays,
        verdict.reason,
        entry.name if verdict.promote else verdict.champion,
        [{name: _plain(value) for name, value in asdict(row).items()} for row in verdict.rows],
        heard.report,
        heard.run,
    )


def _plain(value: Any) -> Any:
    """JSON has no infinity, where the interval of a single sentence ends."""
    return voices.finite(value) if isinstance(value, float) else value


def won(plan: PromotionPlan, result: Promoted, began: float) -> Promoted:
    """Tell those who make something of champions."""
    events.voice_promoted(plan.store, plan.entry)
    return ended(result, began)


def ended(result: Promoted, began: float) -> Promoted:
    """Name the run by what became of it and show why; its state has that name, and the caller gets the result."""
    voice, evaluation = result.entry.partition("/")[0], result.run
    dashboard.name_run(
        f"promote · {result.entry} · {result.verdict.lower()}", [f"voice:{voice}", f"entry:{result.entry}"]
    )
    dashboard.say(f"{result.verdict}: {result.reason}")
    text = "\n".join([f"# {result.entry}: {result.verdict.lower()}", "", result.reason, "", *table(result.rows)])
    links = [f"Report: `{result.report}`", f"[the evaluation]({evaluation})"] if result.report else []
    create_markdown_artifact(
        markdown=f"{text}\n\n{' · '.join(links)}\n",
        key="promote-verdict",
        description=f"{result.entry}: {result.reason}",
    )
    result.run, result.wall_s = dashboard.run_address(), round(time.perf_counter() - began, 2)
    return cast(Promoted, Completed(name=result.verdict, message=result.reason, data=result))


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The rows of a verdict in markdown."""
    if not rows:
        return []
    head = ["| | unit | challenger | champion | bound | margin | difference | interval | sentences | |"]
    return [*head, "|---|---|---:|---:|---:|---:|---:|---:|---:|---|", *(_line(row) for row in rows)]


def _line(row: Mapping[str, Any]) -> str:
    found = Row(**row)
    interval = "" if found.low is None else f"{shown(found.low)} to {shown(found.high)}"
    cells = [
        found.metric,
        METRICS[found.metric].unit,
        *(shown(value) for value in (found.challenger, found.champion, found.bound, found.margin, found.difference)),
        interval,
        found.samples or "",
        "" if found.outcome == "no rule" else found.outcome,
    ]
    return f"| {' | '.join(map(str, cells))} |"
