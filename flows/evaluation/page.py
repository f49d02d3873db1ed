"""The page of an evaluation: figures, pictures, and sentences to listen to side by side. One HTML file that loads
nothing.

Sounds are embedded as FLAC, 40 kB for a second of speech before base64, and spectrograms, 4 kB; `listened` sentences of
at most 12 s bound the size. The page lies among the reports of its corpus version (`forget.evaluation_folder`), with
which it is erased.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from voicemill.flows.evaluation import pictures
from voicemill.flows.evaluation.comparison import Difference, comparison_title, differences, missing_figures
from voicemill.flows.plans import evaluate as plans
from voicemill.flows.plans.evaluate import EvaluationPlan
from voicemill.flows.report import html
from voicemill.model.judging.judge import Judge
from voicemill.model.judging.scores import Scores
from voicemill.model.judging.testset.speech import Speech
from voicemill.model.judging.testset.testset import Sentence
from voicemill.model.s1.generate import Stop
from voicemill.model.settings.promotion import METRICS, Metric
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.files import write_text
from voicemill.storage.forgetting.forget import evaluation_folder
from voicemill.storage.units import RATE, Seconds
from voicemill.storage.voices.notice import Notice

TEMPLATE = Path(__file__).parent / "templates" / "evaluation.html"

LONGEST: Seconds = 12.0
"""Longest embedded sound; longer ones are cut."""


@dataclass(frozen=True)
class Sound:
    """One cell of the table of sentences."""

    source: str
    """data: URL; "" = there is no sound."""
    note: str
    """Duration, or why there is no sound."""
    spectrogram: str = ""
    """data: URL of its picture."""
    width: int = 100
    """Width of the picture: duration as a share of the longest sound of the sentence, %."""


@dataclass(frozen=True)
class Row:
    """A sentence, with the sound of each speaker."""

    sentence: Sentence
    sounds: tuple[Sound, ...]
    """The recording, then the entries."""


@dataclass(frozen=True)
class Figure:
    """A metric, with the figure of each entry."""

    metric: Metric
    real: float | None
    """Figure of the recordings."""
    totals: tuple[float | None, ...]
    """Figure of each entry."""
    differences: tuple[Difference | None, ...]
    """Difference of the first entry to each other one."""
    samples: int
    """Number of sentences that the figures rest on."""


def path_of(plan: EvaluationPlan, testset: str) -> Path:
    """Path of the page of these entries on this test set."""
    numbers = "-".join(str(entry.number) for entry in plan.entries)
    folder = evaluation_folder(plan.store, plan.corpus.version.number)
    return folder / f"evaluation-{plan.voice}-{numbers}-{testset[:12]}.html"


def write(plan: EvaluationPlan, judge: Judge, scores: Mapping[str, Scores], speech: Mapping[str, Speech]) -> Path:
    """Write the page and return its path. `scores`, `speech`: by entry, in the order of the plan."""
    path = path_of(plan, judge.testset.sha256)
    write_text(path, render(plan, judge, scores, speech), durable=False)
    return path


def render(plan: EvaluationPlan, judge: Judge, scores: Mapping[str, Scores], speech: Mapping[str, Speech]) -> str:
    """Return the HTML of the page."""
    first = next(iter(scores.values()))
    unspoken = {name: each.lineage["unspoken"] for name, each in scores.items() if each.lineage["unspoken"]}
    return html.render(
        TEMPLATE,
        {"figure": figure, "comparison_title": comparison_title},
        voice=plan.voice,
        roles=plans.roles(plan),
        entries={entry.name: entry for entry in plan.entries},
        testset=judge.testset,
        notes=first.lineage["notes"],
        lineage=first.lineage,
        figures=figures(judge, list(scores.values())),
        bars=pictures.bars(
            {pictures.RECORDINGS: judge.real.items} | {name: each.items for name, each in scores.items()}
        ),
        matrix=pictures.matrix(_similarities(judge, speech)),
        missing=missing_figures({name: each.missing for name, each in scores.items()}),
        rows=rows(plan, judge, speech),
        unspoken=unspoken,
    )


def figures(judge: Judge, scores: list[Scores]) -> list[Figure]:
    """Rows of the metrics that any entry has a figure of."""
    by_entry = {(difference.metric, difference.other): difference for difference in differences(scores)}
    return [
        Figure(
            metric=metric,
            real=judge.real.totals.get(name),
            totals=tuple(each.totals.get(name) for each in scores),
            differences=tuple(by_entry.get((name, each.voice)) for each in scores[1:]),
            samples=max(len(each.items.get(name, {})) for each in scores),
        )
        for name, metric in METRICS.items()
        if any(name in each.totals for each in scores)
    ]


def rows(plan: EvaluationPlan, judge: Judge, speech: Mapping[str, Speech]) -> list[Row]:
    """Sentences with their sounds."""
    table = []
    for sentence in judge.testset.sentences[: plan.options.listened]:
        silent = (Sound("", "no recording"), 0.0)
        real = silent if sentence.recording is None else _sound(sentence.recording, synthetic=False)
        table.append(_on_one_scale(sentence, [real, *(_spoken(entry, sentence.id) for entry in speech.values())]))
    return table


def _on_one_scale(sentence: Sentence, sounds: list[tuple[Sound, Seconds]]) -> Row:
    """Row whose spectrograms have one scale of time."""
    longest = max(seconds for _, seconds in sounds)
    return Row(
        sentence,
        tuple(replace(sound, width=round(100 * seconds / longest)) if seconds else sound for sound, seconds in sounds),
    )


def _similarities(judge: Judge, speech: Mapping[str, Speech]) -> dict[str, dict[str, float]]:
    """Label -> speaker of the corpus -> mean cosine, of the recordings and of each entry; a row for each speaker of the
    test set."""
    rows: dict[str, dict[str, float]] = {}
    for label, source in ((pictures.RECORDINGS, None), *speech.items()):
        likeness = judge.likeness(source)
        many = len(likeness) > 1
        rows |= {f"{label} of {speaker}" if many else label: row for speaker, row in list(likeness.items())[:3]}
    return rows


def figure(value: float | None) -> str:
    """Format a figure with three or four significant digits; "–" for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"


def _spoken(speech: Speech, sentence: str) -> tuple[Sound, Seconds]:
    wave, spoken = speech.wave(sentence), speech.spoken[sentence]
    if wave is None:
        return Sound("", spoken.error), 0.0
    sound, seconds = _sound(wave, synthetic=True)
    limited = {end for end in spoken.ended if end == Stop.LIMIT.value}
    return replace(sound, note=", ".join([sound.note, *(["stopped at the length limit"] if limited else [])])), seconds


def _sound(wave: Wave, *, synthetic: bool) -> tuple[Sound, Seconds]:
    """Encode a waveform as data: URLs, and return its seconds; the metadata of synthetic speech mark it as such."""
    import soundfile

    seconds, buffer, wave = len(wave) / RATE, BytesIO(), wave[: int(LONGEST * RATE)]
    with soundfile.SoundFile(buffer, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        if synthetic:
            file.comment = Notice().comment
        file.write(wave)
    source = f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    cut = f", the first {LONGEST:g} s" if seconds > LONGEST else ""
    return Sound(source, f"{seconds:.1f} s{cut}", pictures.spectrogram(wave)), len(wave) / RATE
