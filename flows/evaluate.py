"""The flow `evaluate`: entries of a voice synthesise a held-out test set and are scored side by side."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from voicemill.flows.display import dashboard
from voicemill.flows.display.result import FlowResult
from voicemill.flows.evaluation import comparison, scoring
from voicemill.flows.evaluation import page as evaluation_page
from voicemill.flows.evaluation.erasure import erased_if_forgotten
from voicemill.flows.plans import evaluate as plans
from voicemill.flows.plans.evaluate import EvaluateOptions, EvaluationPlan
from voicemill.flows.report import markdown
from voicemill.model.judging.judge import Judge
from voicemill.model.judging.scores import Scores, shown
from voicemill.model.judging.testset.speech import Speech, SpokenSentence
from voicemill.model.judging.testset.testset import TestSet
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry

__all__ = ["EntryScores", "EvaluateOptions", "Evaluated", "evaluate"]


@dataclass
class EntryScores:
    """Scores of one entry."""

    entry: str
    """"anna/0003"."""
    role: str
    """Kind and role, such as "trained, champion"."""
    scores: str
    """Path of the evaluation, `Scores` as JSON."""
    totals: dict[str, float]
    """Metric -> figure over the test set."""
    missing: dict[str, str]
    """Metric -> why there is no figure."""
    unspoken: dict[str, str]
    """Sentence -> why the entry could not synthesise it."""


@dataclass
class Evaluated(FlowResult):
    """Result of `evaluate`; `voicemill evaluate --json` prints it."""

    voice: str
    testset: str
    """sha256 of the test set, by which `voicemill.storage.voices.registry.scores` finds the evaluations."""
    sentences: int
    notes: list[str]
    """Limits of the test set and of the judges, for readers of the figures."""
    judges: dict[str, str] = field(default_factory=dict)
    """Role -> model that judged, with 12 digits of its digest."""
    recordings: dict[str, float] = field(default_factory=dict)
    """Metric -> figure of the recordings themselves."""
    entries: list[EntryScores] = field(default_factory=list)
    """The challenger first."""
    differences: list[dict[str, Any]] = field(default_factory=list)
    """`voicemill.flows.evaluation.comparison.Difference` of the challenger to each other entry."""
    report: str = ""
    """Path of the page with figures and sounds."""
    run: str = ""
    wall_s: Seconds = 0.0


@flow(name="evaluate", persist_result=False)
def evaluate(options: EvaluateOptions) -> Evaluated:
    """Synthesise every sentence once with each entry; score the speech; write the evaluations and a page."""
    began = time.perf_counter()
    plan = plans.plan_evaluation(options)
    announce(plan)
    sentences = choose_sentences(plan)
    with erased_if_forgotten(plan, sentences):
        result = score_entries(plan, sentences)
    dashboard.complete(result, began)
    show(result)
    return result


def score_entries(plan: EvaluationPlan, sentences: TestSet) -> Evaluated:
    """Synthesise and score all entries of the plan, and write the page."""
    judge = scoring.judge_of(plan, sentences)
    scores: dict[str, Scores] = {}
    speech: dict[str, Speech] = {}
    result = Evaluated(
        voice=plan.voice,
        testset=sentences.sha256,
        sentences=len(sentences.sentences),
        notes=scoring.notes(plan, judge),
        judges=dict(judge.judges.models),
    )
    for name, role in plans.roles(plan).items():
        speech[name] = speak(plan, name, sentences)
        scores[name], path = judge_entry(plan, name, judge, speech[name])
        result.entries.append(entry_scores(scores[name], role, path))
    result.differences = [asdict(difference) for difference in comparison.differences(list(scores.values()))]
    result.recordings = judge.real.totals
    result.report = str(evaluation_page.write(plan, judge, scores, speech))
    return result


def announce(plan: EvaluationPlan) -> None:
    """Name the run by the entries that it compares, and tag it."""
    numbers = comparison.comparison_title(entry.number for entry in plan.entries)
    tags = [f"voice:{plan.voice}", *(f"entry:{entry.name}" for entry in plan.entries)]
    dashboard.name_run(f"evaluate · {plan.voice} · {numbers}", tags)


def choose_sentences(plan: EvaluationPlan) -> TestSet:
    """Choose the test set, and log its limits."""
    sentences = plans.testset_of(plan)
    dashboard.log(
        f"test set {sentences.sha256[:12]}: {len(sentences.sentences)} sentences of corpus version "
        f"{sentences.corpus_version}"
    )
    for note in (*sentences.notes, *plan.notes):
        dashboard.log(f"test set: {note}")
    return sentences


@task(name="speak", task_run_name="speak · {name}", cache_policy=NO_CACHE, persist_result=False)
def speak(plan: EvaluationPlan, name: str, sentences: TestSet) -> Speech:
    """Synthesise the sentences that an entry has no stored speech of."""
    entry, fresh = plans.find_entry(plan, name), 0

    def count(sentence: str, spoken: SpokenSentence) -> None:
        nonlocal fresh
        fresh += 1
        if spoken.error:
            dashboard.log(f"{name} cannot synthesise {sentence}: {spoken.error}")

    speech = plans.speak(plan, entry, sentences, count)
    stored = len(speech.spoken) - fresh
    dashboard.log(f"{name}: {fresh} sentences synthesised, {stored} found in {speech.folder}")
    return speech


@task(name="judge", task_run_name="judge · {name}", cache_policy=NO_CACHE, persist_result=False)
def judge_entry(plan: EvaluationPlan, name: str, judge: Judge, speech: Speech) -> tuple[Scores, Path]:
    """Score one entry; return the scores and the path to which they are written."""
    entry = plans.find_entry(plan, name)
    scores = scoring.scores(plan, entry, judge, speech, scoring.agreement(plan, entry, judge.testset))
    return scores, registry.add_scores(entry, scores.as_json())


def entry_scores(scores: Scores, role: str, path: Path) -> EntryScores:
    """One entry's part of the result."""
    return EntryScores(
        entry=scores.voice,
        role=role,
        scores=str(path),
        totals=dict(scores.totals),
        missing=dict(scores.missing),
        unspoken=dict(scores.lineage["unspoken"]),
    )


def show(result: Evaluated) -> None:
    """Add the summary to the run's page."""
    title = comparison.comparison_title(entry.entry for entry in result.entries)
    totals = [result.recordings, *(entry.totals for entry in result.entries)]
    figures = markdown.table(
        ("", "unit", "recordings", *(f"{entry.entry} ({entry.role})" for entry in result.entries)),
        (
            (metric.name, metric.unit, *(shown(found.get(name)) for found in totals))
            for name, metric in METRICS.items()
            if any(name in entry.totals for entry in result.entries)
        ),
        "ll" + "r" * len(totals),
    )
    missing = comparison.missing_figures({entry.entry: entry.missing for entry in result.entries})
    text, code = markdown.text, markdown.code
    lines = []
    for (reason, entries), metrics in missing.items():
        of = "" if len(entries) == len(result.entries) else f" for {', '.join(entries)}"
        lines.append(f"- missing{text(of)}: **{text(', '.join(metrics))}**: {text(reason)}")
    judges = ", ".join(f"{role} {code(model)}" for role, model in result.judges.items())
    listed = "\n".join([*lines, *(f"- {text(note)}" for note in result.notes)])
    page = f"""# {text(title)}

{result.sentences} sentences, test set `{result.testset[:12]}`, judged by {judges}. Report: {code(result.report)}

{figures}

{listed}
"""
    dashboard.show_markdown("evaluate-summary", page, title)
    dashboard.log(f"report: {result.report}")
