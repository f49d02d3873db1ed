"""The flow `promote`: an entry is evaluated beside the champion of its lane and replaces it if it passes the gate."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import deployment, flow_run

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display.result import FlowResult
from voicemill.flows.evaluate import Evaluated, evaluate
from voicemill.flows.plans.options import user_name
from voicemill.flows.plans.promote import PromoteOptions, PromotionPlan, plan_promotion
from voicemill.flows.report import markdown
from voicemill.flows.service.notices.log import Kind, tell
from voicemill.flows.service.notices.questions import Answer, ask, can_ask, repeat_subflows
from voicemill.model.judging.promotion import GateDecision, Row, decide
from voicemill.model.judging.scores import Scores, shown
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.errors import Retired, StatusConflict
from voicemill.storage.files import read_json
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import finite_or_none
from voicemill.storage.voices.status import StatusChange

__all__ = ["PromoteOptions", "Promoted", "promote"]

ATTEMPTS = 3
"""Evaluations of one promotion, at most: another follows if another run changed the champion meanwhile."""


@dataclass
class Promoted(FlowResult):
    """Result of `promote`; `voicemill voices promote --json` prints it."""

    entry: str
    """The challenger, "anna/0003"."""
    kind: str
    promoted: bool
    verdict: str
    """Promoted, Forced, Champion stays, Not promoted (the lane has no champion), Champion already, or Retired."""
    reason: str
    champion: str
    """Champion of the lane after the run; "" = none."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """`voicemill.model.judging.promotion.Row`."""
    report: str = ""
    """Path of the evaluation's page."""
    run: str = ""
    wall_s: Seconds = 0.0


@flow(name="promote", persist_result=False)
def promote(options: PromoteOptions) -> Promoted:
    """Evaluate an entry beside its lane's champion; make it champion if the gate passes it, else say why not."""
    began = time.perf_counter()
    repeat_subflows()
    try:
        plan = plan_promotion(options)
    except Retired as error:  # retired since the event that started the run: not a failure
        name = f"{options.voice}/{options.number:04d}"
        return end(_unchanged(name, "", "Retired", str(error), champion=""), began)
    entry = plan.entry
    if plan.status.of(entry.number) == "champion":
        if not any(other.card.parent == entry.name for other in registry.entries(plan.store, entry.card.voice)):
            events.voice_promoted(plan.store, entry)  # nothing was made of it: its event may have been lost
        reason = f"{entry.name} is the champion ({entry.card.kind}) already"
        return end(_unchanged(entry.name, entry.card.kind, "Champion already", reason, champion=entry.name), began)
    if options.force:
        change = make_champion(plan, plan.champion, options.force, forced=True)
        result = Promoted(
            entry=entry.name,
            kind=entry.card.kind,
            promoted=True,
            verdict="Forced",
            reason=change.why,
            champion=entry.name,
        )
        return end_promoted(plan, result, began)
    for attempt in range(ATTEMPTS):
        against = plan.champion
        evaluated = evaluate(plan.evaluation(against))
        verdict = decide(*scores_of(plan, evaluated, against), plan.gate, entry.card.kind)
        result = result_of(plan, verdict, evaluated, against)
        answer = ask_person(plan, verdict) if verdict.in_doubt else None
        if answer is not None:
            result = answered(plan, result, answer)
        if not result.promoted:
            return end(result, began)
        try:
            make_champion(plan, against, result.reason, forced=answer is not None, by=answer.who if answer else "")
        except StatusConflict as conflict:
            if plan.status.of(entry.number) == "champion":
                reason = f"{entry.name} was promoted by another run meanwhile"
                unchanged = _unchanged(entry.name, entry.card.kind, "Champion already", reason, champion=entry.name)
                return end(unchanged, began)
            if attempt == ATTEMPTS - 1:
                raise
            dashboard.log(f"evaluating again: {conflict}")
        else:
            return end_promoted(plan, result, began)
    raise AssertionError("the last attempt returns or raises")


def _unchanged(name: str, kind: str, verdict: str, reason: str, *, champion: str) -> Promoted:
    return Promoted(entry=name, kind=kind, promoted=False, verdict=verdict, reason=reason, champion=champion)


def scores_of(plan: PromotionPlan, evaluated: Evaluated, against: int) -> tuple[Scores, Scores | None]:
    """Evaluations of the challenger and of the champion `against` (0 = none)."""
    scores = {entry.entry: Scores.from_json(read_json(Path(entry.scores))) for entry in evaluated.entries}
    champion = f"{plan.entry.card.voice}/{against:04d}"
    return scores[plan.entry.name], scores[champion] if against else None


def make_champion(plan: PromotionPlan, against: int, why: str, *, forced: bool = False, by: str = "") -> StatusChange:
    """Record the promotion, by `by` or `who()`. Raises StatusConflict if the lane's champion is no longer `against`."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    kind = plan.entry.card.kind
    return status.promote(
        plan.folder, plan.entry.number, kind, instead_of=against, who=by or who(), when=when, why=why, forced=forced
    )


def who() -> str:
    """Author of a change of status: the deployment that started this run, or the user of this machine."""
    return f"deployment promote/{deployment.name}" if deployment.id else user_name()


def result_of(plan: PromotionPlan, verdict: GateDecision, evaluated: Evaluated, against: int) -> Promoted:
    """Result of a run that the gate decided."""
    unchanged = "Champion stays" if against else "Not promoted"
    return Promoted(
        entry=plan.entry.name,
        kind=plan.entry.card.kind,
        promoted=verdict.promote,
        verdict="Promoted" if verdict.promote else unchanged,
        reason=verdict.reason,
        champion=plan.entry.name if verdict.promote else verdict.champion,
        rows=[{name: _finite(value) for name, value in asdict(row).items()} for row in verdict.rows],
        report=evaluated.report,
        run=evaluated.run,
    )


def ask_person(plan: PromotionPlan, verdict: GateDecision) -> Answer | None:
    """Ask whether an entry is promoted that only a lack of test sentences keeps out; None: the run cannot ask."""
    if can_ask():
        dashboard.name_run(f"promote · {plan.entry.name} · asks", [f"voice:{plan.entry.card.voice}"])
        text = f"a promotion has too few test sentences for the gate: {dashboard.run_address()}"
        tell(plan.store, Kind.ANSWER, text, str(flow_run.id))
    doubtful = [row for row in verdict.rows if row.detail]
    figures = ", ".join(f"{row.metric} {shown(row.challenger)}, bound {shown(row.bound) or '-'}" for row in doubtful)
    question = f"{verdict.reason}. Figures: {figures}. Promote it all the same?"
    return ask(question, [verdict.reason, verdict.champion, verdict.testset])


def answered(plan: PromotionPlan, result: Promoted, answer: Answer) -> Promoted:
    """Result after the answer of a person to `ask_person`."""
    if not answer.yes:
        return replace(result, reason=f"{result.reason}; {answer}")
    return replace(result, promoted=True, verdict="Forced", reason=answer.why, champion=plan.entry.name)


def _finite(value: Any) -> Any:
    """JSON has no infinity, which is an end of the confidence interval of a single sentence."""
    return finite_or_none(value) if isinstance(value, float) else value


def end_promoted(plan: PromotionPlan, result: Promoted, began: float) -> Promoted:
    """Send the event from which distillation and compression start, and end the run."""
    events.voice_promoted(plan.store, plan.entry)
    return end(result, began)


def end(result: Promoted, began: float) -> Promoted:
    """Name the run by its verdict, show the reason, and end the run in a state of that name."""
    voice, evaluation = result.entry.partition("/")[0], result.run
    dashboard.name_run(
        f"promote · {result.entry} · {result.verdict.lower()}", [f"voice:{voice}", f"entry:{result.entry}"]
    )
    dashboard.log(f"{result.verdict}: {result.reason}")
    page = markdown.link("the evaluation", evaluation)
    links = f"Report: {markdown.code(result.report)} · {page}" if result.report else ""
    text = f"""# {markdown.text(result.entry)}: {result.verdict.lower()}

{markdown.text(result.reason)}

{verdict_table(result.rows)}

{links}
"""
    dashboard.show_markdown("promote-verdict", text, f"{result.entry}: {result.reason}")
    dashboard.complete(result, began)
    return dashboard.end_in(result.verdict, result.reason, result)


def verdict_table(rows: list[dict[str, Any]]) -> str:
    """Markdown table of the gate's rows."""
    columns = ("", "unit", "challenger", "champion", "bound", "margin", "difference", "interval", "sentences", "")
    return markdown.table(columns, map(_cells, rows), "llrrrrrrrl")


def _cells(values: Mapping[str, Any]) -> list[object]:
    row = Row(**values)
    return [
        row.metric,
        METRICS[row.metric].unit,
        *(shown(value) for value in (row.challenger, row.champion, row.bound, row.margin, row.difference)),
        "" if row.low is None else f"{shown(row.low)} to {shown(row.high)}",
        row.samples or "",
        "" if row.outcome == "no rule" else row.outcome,
    ]
