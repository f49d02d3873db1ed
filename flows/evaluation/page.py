"""The page of an evaluation: sentences to listen to side by side, and the figures. One HTML file that loads nothing.

Sounds are embedded as FLAC, 40 kB for a second of speech before base64: what is shown is bounded by `listened`
sentences of at most 12 s. It lies with all that is made of its corpus version (`storage.forgetting.evaluations`).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from voicemill.flows.evaluation import comparison
from voicemill.flows.plans import evaluate as plans
from voicemill.flows.plans.evaluate import EvaluationPlan
from voicemill.model.judging.judge import Judge
from voicemill.model.judging.scores import Scores
from voicemill.model.judging.testset.speech import Speech
from voicemill.model.judging.testset.testset import Sentence
from voicemill.model.s1.generate import Stop
from voicemill.model.settings.promotion import METRICS, Metric
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.files import write_text
from voicemill.storage.forgetting import evaluations as judged
from voicemill.storage.units import RATE, Seconds
from voicemill.storage.voices.notice import Notice

TEMPLATES = Path(__file__).parent / "templates"

LONGEST: Seconds = 12.0
"""Of a sound so much is embedded."""


@dataclass(frozen=True)
class Sound:
    """One cell of the table of sentences."""

    source: str
    """data: URL; "" = it could not be said."""
    note: str
    """What there is to know of it."""


@dataclass(frozen=True)
class Row:
    """A sentence, and how each said it."""

    sentence: Sentence
    sounds: tuple[Sound, ...]
    """The recording, then the entries."""


@dataclass(frozen=True)
class Figure:
    """A metric, and what each entry has."""

    metric: Metric
    real: float | None
    """Of the recordings themselves."""
    totals: tuple[float | None, ...]
    differences: tuple[comparison.Difference | None, ...]
    """Of the first entry to each other one."""
    samples: int


def path_of(plan: EvaluationPlan, testset: str) -> Path:
    """Where the page of these entries on this test set is."""
    numbers = "-".join(str(entry.number) for entry in plan.entries)
    return (
        judged.folder(plan.store, plan.corpus.version.number) / f"evaluation-{plan.voice}-{numbers}-{testset[:12]}.html"
    )


def write(plan: EvaluationPlan, judge: Judge, found: Mapping[str, Scores], said: Mapping[str, Speech]) -> Path:
    """Write the page and return its path. `found`, `said`: by entry, in the order of the plan."""
    path = path_of(plan, judge.testset.sha256)
    write_text(path, render(plan, judge, found, said))
    return path


def render(plan: EvaluationPlan, judge: Judge, found: Mapping[str, Scores], said: Mapping[str, Speech]) -> str:
    """The HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"figure": figure, "versus": comparison.versus}
    first = next(iter(found.values()))
    missing: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # a reason, and whose -> figures
    for metric in METRICS:
        for why in dict.fromkeys(scores.missing[metric] for scores in found.values() if metric in scores.missing):
            whose = tuple(name for name, scores in found.items() if scores.missing.get(metric) == why)
            missing.setdefault((why, whose), []).append(metric)
    return environment.get_template("evaluation.html").render(
        voice=plan.voice,
        roles=plans.roles(plan),
        entries={entry.name: entry for entry in plan.entries},
        testset=judge.testset,
        notes=first.lineage["notes"],
        lineage=first.lineage,
        figures=figures(judge, found),
        missing=missing,
        rows=rows(plan, judge, said),
        metrics=METRICS,
        unspoken={name: scores.lineage["unspoken"] for name, scores in found.items() if scores.lineage["unspoken"]},
    )


def figures(judge: Judge, found: Mapping[str, Scores]) -> list[Figure]:
    """The metrics of which there is any figure."""
    every = list(found.values())
    between = {(d.metric, d.other): d for d in comparison.differences(every)}
    return [
        Figure(
            metric,
            judge.real.totals.get(name),
            tuple(scores.totals.get(name) for scores in every),
            tuple(between.get((name, scores.voice)) for scores in every[1:]),
            max(len(scores.items.get(name, {})) for scores in every),
        )
        for name, metric in METRICS.items()
        if any(name in scores.totals for scores in every)
    ]


def rows(plan: EvaluationPlan, judge: Judge, said: Mapping[str, Speech]) -> list[Row]:
    """What there is to listen to."""
    found = []
    for sentence in judge.testset.sentences[: plan.options.listened]:
        real = Sound("", "no recording") if sentence.recording is None else _sound(sentence.recording, synthetic=False)
        voices = [_spoken(speech, sentence.id) for speech in said.values()]
        found.append(Row(sentence, (real, *voices)))
    return found


def figure(value: float | None) -> str:
    """A figure for people: thousands apart, three or four digits that count."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"


def _spoken(speech: Speech, sentence: str) -> Sound:
    wave, saying = speech.wave(sentence), speech.sayings[sentence]
    if wave is None:
        return Sound("", saying.error)
    sound = _sound(wave, synthetic=True)
    odd = {end for end in saying.ended if end == Stop.LIMIT.value}
    return Sound(sound.source, ", ".join([sound.note, *(["came to no end by itself"] if odd else [])]))


def _sound(wave: Wave, *, synthetic: bool) -> Sound:
    """Synthetic speech says so in its metadata."""
    import soundfile

    seconds, buffer = len(wave) / RATE, BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        if synthetic:
            file.comment = Notice().comment
        file.write(wave[: int(LONGEST * RATE)])
    raw = buffer.getvalue()
    cut = f", the first {LONGEST:g} s" if seconds > LONGEST else ""
    return Sound(f"data:audio/flac;base64,{base64.b64encode(raw).decode()}", f"{seconds:.1f} s{cut}")
