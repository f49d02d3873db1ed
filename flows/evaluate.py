"""The flow `evaluate`: entries of a voice say a test set of what training held back, and are judged side by side."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from voicemill.flows.display import dashboard
from voicemill.flows.evaluation import comparison, scoring
from voicemill.flows.evaluation import page as evaluation_page
from voicemill.flows.evaluation.keeping import kept
from voicemill.flows.plans import evaluate as plans
from voicemill.flows.plans.evaluate import EvaluateOptions, EvaluationPlan
from voicemill.model.judging.judge import Judge
from voicemill.model.judging.scores import Scores, shown
from voicemill.model.judging.testset.speech import Saying, Speech
from voicemill.model.judging.testset.testset import TestSet
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry as voices

__all__ = ["EvaluateOptions", "Evaluated", "Judged", "evaluate"]


@dataclass
class Judged:
    """What was found of one entry."""

    entry: str
    """"anna/0003"."""
    role: str
    """Kind and stage, such as "trained, champion"."""
    scores: str
    """Path of the evaluation, `Scores` as JSON."""
    totals: dict[str, float]
    missing: dict[str, str]
    unspoken: dict[str, str]
    """Sentence -> why it could not be said."""


@dataclass
class Evaluated:
    """Result of `evaluate`; `voicemill evaluate --json` prints it."""

    voice: str
    testset: str
    """sha256: by it `voicemill.storage.voices.registry.scores` finds the evaluations."""
    sentences: int
    notes: list[str]
    """What the test set could not give."""
    entries: list[Judged] = field(default_factory=list)
    """The challenger first."""
    differences: list[dict[str, Any]] = field(default_factory=list)
    """`voicemill.flows.evaluation.comparison.Difference`, of the challenger to each other entry."""
    report: str = ""
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


@flow(name="evaluate", persist_result=False)
def evaluate(options: EvaluateOptions) -> Evaluated:
    """Let each entry say every sentence once; judge what they said; write the evaluations and a page to listen to."""
    began = time.perf_counter()
    plan = plans.plan_evaluation(options)
    announce(plan)
    sentences = choose(plan)
    with kept(plan, sentences):
        result = heard(plan, sentences)
    result.run, result.wall_s = dashboard.run_address(), round(time.perf_counter() - began, 2)
    show(result)
    return result


def heard(plan: EvaluationPlan, sentences: TestSet) -> Evaluated:
    """Speech, figures and the page."""
    judge = scoring.judge_of(plan, sentences)
    found: dict[str, Scores] = {}
    said: dict[str, Speech] = {}
    result = Evaluated(plan.voice, sentences.sha256, len(sentences.sentences), scoring.notes(plan, judge))
    for name, role in plans.roles(plan).items():
        said[name] = speak(plan, name, sentences)
        found[name], path = judge_entry(plan, name, judge, said[name])
        result.entries.append(account(found[name], role, path))
    result.differences = [asdict(each) for each in comparison.differences(list(found.values()))]
    result.report = str(evaluation_page.write(plan, judge, found, said))
    return result


def announce(plan: EvaluationPlan) -> None:
    """Name the run by whom it hears."""
    numbers = comparison.versus(entry.number for entry in plan.entries)
    tags = [f"voice:{plan.voice}", *(f"entry:{entry.name}" for entry in plan.entries)]
    dashboard.name_run(f"evaluate · {plan.voice} · {numbers}", tags)


def choose(plan: EvaluationPlan) -> TestSet:
    """The test set; what a small corpus could not give is said in the log."""
    sentences = plans.testset_of(plan)
    dashboard.say(
        f"test set {sentences.sha256[:12]}: {len(sentences.sentences)} sentences of corpus version "
        f"{sentences.corpus_version}"
    )
    for note in (*sentences.notes, *plan.notes):
        dashboard.say(f"test set: {note}")
    return sentences


@task(name="speak", task_run_name="speak · {name}", cache_policy=NO_CACHE, persist_result=False)
def speak(plan: EvaluationPlan, name: str, sentences: TestSet) -> Speech:
    """One entry says what it has not said of the test set yet."""
    entry, fresh = plans.find_entry(plan, name), 0

    def told(sentence: str, saying: Saying) -> None:
        nonlocal fresh
        fresh += 1
        if saying.error:
            dashboard.say(f"{name} cannot say {sentence}: {saying.error}")

    speech = plans.speak(plan, entry, sentences, told)
    dashboard.say(
        f"{name} said {fresh} sentences now, {len(speech.sayings) - fresh} before; they are in {speech.folder}"
    )
    return speech


@task(name="judge", task_run_name="judge · {name}", cache_policy=NO_CACHE, persist_result=False)
def judge_entry(plan: EvaluationPlan, name: str, judge: Judge, speech: Speech) -> tuple[Scores, Path]:
    """Figures of one entry, written to it."""
    entry = plans.find_entry(plan, name)
    found = scoring.scores(plan, entry, judge, speech, scoring.agreement(plan, entry, judge.testset))
    return found, voices.add_scores(entry, found.as_json())


def account(scores: Scores, role: str, path: Path) -> Judged:
    """What the result says of one entry."""
    return Judged(
        scores.voice, role, str(path), dict(scores.totals), dict(scores.missing), dict(scores.lineage["unspoken"])
    )


def show(result: Evaluated) -> None:
    """The summary on the run's page."""
    names = [each.entry for each in result.entries]
    head = "| | unit | " + " | ".join(f"{each.entry} ({each.role})" for each in result.entries) + " |"
    rows = [
        f"| {metric.name} | {metric.unit} | "
        + " | ".join(shown(each.totals.get(name)) for each in result.entries)
        + " |"
        for name, metric in METRICS.items()
        if any(name in each.totals for each in result.entries)
    ]
    missing = {name: why for each in result.entries for name, why in each.missing.items()}
    listed = [f"- missing: **{name}**: {why}" for name, why in missing.items()]
    listed += [f"- {note}" for note in result.notes]
    text = "\n".join(
        [
            f"# {comparison.versus(names)}",
            "",
            f"{result.sentences} sentences, test set `{result.testset[:12]}`. Report: `{result.report}`",
            "",
            head,
            "|---|---|" + "---:|" * len(names),
            *rows,
            "",
            *listed,
        ]
    )
    create_markdown_artifact(markdown=text, key="evaluate-summary", description=comparison.versus(names))
    dashboard.say(f"report: {result.report}")
