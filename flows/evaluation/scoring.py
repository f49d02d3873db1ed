"""`Scores` of an entry: the judges' figures of its speech, its size, and its agreement with its teacher."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from voicemill.flows.plans.evaluate import EvaluationPlan, engine_of, open_entry, speak_options, speech_folder
from voicemill.model.embedded import SPEAKER
from voicemill.model.judging.judge import Figures, Judge
from voicemill.model.judging.judges import AUTO, LIGHT, Judges, JudgeSettings, judges
from voicemill.model.judging.metrics import size
from voicemill.model.judging.scores import Scores
from voicemill.model.judging.testset.speech import Speech, threads_of
from voicemill.model.judging.testset.testset import TestSet, gallery
from voicemill.model.settings.promotion import METRICS
from voicemill.model.voices.versions import code_version
from voicemill.storage.files import read_json, write_json
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry
from voicemill.storage.voices.status import read_status

TEACHER_METRICS = ("token_agreement", "log_mel_distance")


def judges_of(plan: EvaluationPlan) -> Judges:
    """Load the judges that the options name; raises as `voicemill.model.judging.judges.judges`."""
    return judges(settings_of(plan.store, plan.options.judges, plan.entries), plan.corpus.version.config)


def settings_of(store: Store, settings: JudgeSettings, entries: Collection[Entry] = ()) -> JudgeSettings:
    """Settings whose speaker encoder `light` is replaced by the file of a light voice of the store.

    The newest one in use that is not among the evaluated `entries` is taken, else the newest of those; the settings are
    returned as they are where the store has none or they name another encoder, as `auto` does where the embedded one is
    installed.
    """
    if settings.speaker_encoder != LIGHT and (settings.speaker_encoder != AUTO or SPEAKER.is_installed):
        return settings
    candidates = [
        entry for voice in registry.voice_names(store) for entry in _in_use(store, voice) if entry.card.kind == LIGHT
    ]
    if not candidates:
        return settings
    evaluated = {entry.name for entry in entries}
    best = max(candidates, key=lambda entry: (entry.name not in evaluated, entry.card.created, entry.name))
    return settings.model_copy(update={"speaker_encoder": str(best.path(LIGHT))})


def _in_use(store: Store, voice: str) -> list[Entry]:
    retired = read_status(store.models / voice).retired
    return [entry for entry in registry.entries(store, voice) if entry.number not in retired]


def judge_of(plan: EvaluationPlan, sentences: TestSet) -> Judge:
    """The judges, with the gallery of speakers among whom a voice is identified."""
    models = judges_of(plan)
    speakers = gallery(plan.corpus, sentences, plan.options.judges.gallery, plan.held) if models.speaker else {}
    return Judge(sentences, models, speakers)


def agreement(plan: EvaluationPlan, entry: Entry, sentences: TestSet) -> Figures | None:
    """Agreement of an entry with the entry it was made from; None where there is none. It is stored beside the entry's
    speech, so that it is computed once."""
    from voicemill.model.judging.agreement import agreements

    teacher = find_entry(plan, entry.card.parent)
    if teacher is None:
        return None
    path = speech_folder(plan, entry, sentences) / f"teacher-{speech_folder(plan, teacher, sentences).name}.json"
    if (raw := read_json(path)) is not None:
        return Figures(**raw)
    with threads_of(plan.options.threads):
        figures = agreements(open_entry(plan, teacher), open_entry(plan, entry), sentences, speak_options(plan))
    write_json(path, asdict(figures), nan=False)
    return figures


def scores(plan: EvaluationPlan, entry: Entry, judge: Judge, speech: Speech, teacher: Figures | None = None) -> Scores:
    """Scores of an entry: every metric has a total or a reason why it is missing. `teacher`: its `agreement`."""
    import torch

    figures = judge.speech(speech)
    items = dict(figures.items) | (dict(teacher.items) if teacher else {})
    missing = dict(figures.missing) | (dict(teacher.missing) if teacher else {})
    totals: dict[str, float] = (
        figures.totals | (teacher.totals if teacher else {}) | {"bytes": size.size(entry.weights)}
    )
    count, counted = parameters(plan, entry)
    if count is None:
        missing["parameters"] = (
            "graphs share and fold weights, so they are counted in the entry that the graphs were made from, which is "
            "gone"
        )
    else:
        totals["parameters"] = count
    for name in TEACHER_METRICS:
        if name not in totals | missing:
            missing[name] = "it was not made from another entry, so there is no teacher to compare it with"
    assert set(totals) | set(missing) == set(METRICS)
    lineage = {
        "judges": dict(judge.judges.models),
        "settings": plan.options.judges.model_dump(mode="json"),
        "testset": plan.options.testset.model_dump(mode="json"),
        "sentences": len(judge.testset.sentences),
        "trained_on": sum(not s.unheard for s in judge.testset.sentences),
        "corpus_version": judge.testset.corpus_version,
        "notes": notes(plan, judge),
        "unspoken": {name: spoken.error for name, spoken in speech.spoken.items() if spoken.error},
        "threads": plan.options.threads or torch.get_num_threads(),
        "engine": engine_of(plan, entry),
        "precision": plan.options.precision,
        "seed": plan.options.seed,
        "parameters_of": counted,
        "code": code_version(),
    }
    return Scores(
        testset=judge.testset.sha256,
        voice=entry.name,
        items=items,
        totals=totals,
        missing=missing,
        lineage=lineage,
    )


def notes(plan: EvaluationPlan, judge: Judge) -> list[str]:
    """Limits of the test set and of the judges, for readers of the figures."""
    encoder = settings_of(plan.store, plan.options.judges, plan.entries).speaker_encoder
    own = [entry.name for entry in plan.entries if Path(encoder) in entry.weights.values()]
    biased = [f"{name} is judged by its own speaker encoder, which flatters its similarity" for name in own]
    return [*judge.testset.notes, *plan.notes, *judge.notes, *biased]


def parameters(plan: EvaluationPlan, entry: Entry) -> tuple[int | None, str]:
    """Number of weights used in synthesis, and the entry in which they were counted: that of graphs is counted in the
    entry they were made from, since compression keeps it."""
    source: Entry | None = entry
    while source is not None:
        if (count := size.parameters(source.weights)) is not None:
            return count, source.name
        source = find_entry(plan, source.card.parent)
    return None, ""


def find_entry(plan: EvaluationPlan, name: str) -> Entry | None:
    """Entry of the plan's voice with this name, "anna/0003"; None where there is none."""
    return next((entry for entry in registry.entries(plan.store, plan.voice) if entry.name == name), None)
