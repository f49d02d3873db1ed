"""From what an entry said to its `Scores`: figures, sizes, the comparison with its teacher, and who judged."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from voicemill.flows.plans.evaluate import EvaluationPlan, engine_of, opened, speak_options, speech_folder
from voicemill.model.judging.judge import Figures, Judge
from voicemill.model.judging.judges import LIGHT, Judges, JudgeSettings, judges
from voicemill.model.judging.metrics import size
from voicemill.model.judging.scores import Scores
from voicemill.model.judging.testset import gallery
from voicemill.model.judging.testset.speech import Speech, threads_of
from voicemill.model.judging.testset.testset import TestSet
from voicemill.model.settings.promotion import METRICS
from voicemill.model.voices.versions import code_version
from voicemill.storage.files import read_json, write_json
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.registry import Entry

TEACHER = ("token_agreement", "log_mel_distance")


def judges_of(plan: EvaluationPlan) -> Judges:
    """Those of the options; raises as `voicemill.model.judging.judges.judges`."""
    return judges(settings_of(plan.store, plan.options.judges, plan.entries), plan.corpus.version.config)


def settings_of(store: Store, settings: JudgeSettings, judged: Collection[Entry] = ()) -> JudgeSettings:
    """With the file of a light voice of the store where that is to know voices, if there is one that is not retired:
    the newest of those that are not `judged` themselves, else the newest."""
    if settings.speaker_encoder != LIGHT:
        return settings
    found = [entry for name in voices.names(store) for entry in _living(store, name) if entry.card.kind == LIGHT]
    if not found:
        return settings
    heard = {entry.name for entry in judged}
    best = max(found, key=lambda entry: (entry.name not in heard, entry.card.created, entry.name))
    return settings.model_copy(update={"speaker_encoder": str(best.path(LIGHT))})


def _living(store: Store, voice: str) -> list[Entry]:
    retired = stages.standing(store.models / voice).retired
    return [entry for entry in voices.entries(store, voice) if entry.number not in retired]


def judge_of(plan: EvaluationPlan, sentences: TestSet) -> Judge:
    """The judges, and the speakers among whom a voice is recognised."""
    found = judges_of(plan)
    among = gallery.gallery(plan.corpus, sentences, plan.options.judges.gallery, plan.held) if found.speaker else {}
    return Judge(sentences, found, among)


def agreement(plan: EvaluationPlan, entry: Entry, sentences: TestSet) -> Figures | None:
    """How far an entry is from the one that it was made from; None where it was made from none. Kept beside what it
    said, so that it is worked out once."""

    from voicemill.model.judging.agreement import agreements

    teacher = known(plan, entry.card.parent)
    if teacher is None:
        return None
    path = speech_folder(plan, entry, sentences) / f"teacher-{speech_folder(plan, teacher, sentences).name}.json"
    if (raw := read_json(path)) is not None:
        return Figures(**raw)
    with threads_of(plan.options.threads):
        found = agreements(opened(plan, teacher), opened(plan, entry), sentences, speak_options(plan))
    write_json(path, asdict(found), nan=False)
    return found


def scores(plan: EvaluationPlan, entry: Entry, judge: Judge, speech: Speech, teacher: Figures | None = None) -> Scores:
    """All that was found of an entry; `teacher`: `agreement` with it."""
    import torch

    found = judge.speech(speech)
    items = dict(found.items) | (dict(teacher.items) if teacher else {})
    missing = dict(found.missing) | (dict(teacher.missing) if teacher else {})
    totals: dict[str, float] = found.totals | (teacher.totals if teacher else {}) | {"bytes": size.size(entry.weights)}
    count, counted = parameters(plan, entry)
    if count is None:
        missing["parameters"] = "graphs share and fold their weights, and the entry that they were made of is gone"
    else:
        totals["parameters"] = count
    for name in TEACHER:
        if name not in totals | missing:
            missing[name] = "it was made from no other entry, so there is no teacher to compare it with"
    assert set(totals) | set(missing) == set(METRICS)
    lineage = {
        "judges": dict(judge.judges.models),
        "settings": plan.options.judges.model_dump(mode="json"),
        "testset": plan.options.testset.model_dump(mode="json"),
        "sentences": len(judge.testset.sentences),
        "trained_on": sum(not s.unheard for s in judge.testset.sentences),
        "corpus_version": judge.testset.corpus_version,
        "notes": notes(plan, judge),
        "unspoken": {name: saying.error for name, saying in speech.sayings.items() if saying.error},
        "threads": plan.options.threads or torch.get_num_threads(),
        "engine": engine_of(plan, entry),
        "precision": plan.options.precision,
        "seed": plan.options.seed,
        "parameters_of": counted,
        "code": code_version(),
    }
    return Scores(judge.testset.sha256, entry.name, items, totals, missing, lineage)


def notes(plan: EvaluationPlan, judge: Judge) -> list[str]:
    """What a reader of the figures has to know."""
    name = settings_of(plan.store, plan.options.judges, plan.entries).speaker_encoder
    own = [entry.name for entry in plan.entries if Path(name) in entry.weights.values()]
    flattered = [f"{each} is judged by its own speaker encoder, which flatters its similarity" for each in own]
    return [*judge.testset.notes, *plan.notes, *flattered]


def parameters(plan: EvaluationPlan, entry: Entry) -> tuple[int | None, str]:
    """Weights that speak, and the entry in which they were counted: compressing keeps their number."""
    at: Entry | None = entry
    while at is not None:
        if (count := size.parameters(at.weights)) is not None:
            return count, at.name
        at = known(plan, at.card.parent)
    return None, ""


def known(plan: EvaluationPlan, name: str) -> Entry | None:
    """An entry of the voice by its name, "anna/0003"."""
    return next((entry for entry in voices.entries(plan.store, plan.voice) if entry.name == name), None)
