"""Evaluations without Prefect: their entries, the place of their speech, differences, and the page."""

import inspect
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import factories as f
from support import kill_points
from support.voice_entries import add_entry

from voicemill.flows.cli.judging import evaluate, promote
from voicemill.flows.evaluation import page as evaluation_page
from voicemill.flows.evaluation import pictures
from voicemill.flows.evaluation import scoring as evaluation_scores
from voicemill.flows.evaluation.comparison import differences
from voicemill.flows.evaluation.erasure import erased_if_forgotten
from voicemill.flows.plans import evaluate as plans
from voicemill.flows.plans.evaluate import EvaluateOptions, EvaluationPlan, plan_evaluation, speech_folder
from voicemill.model.embedded import SPEAKER
from voicemill.model.judging.judge import Judge
from voicemill.model.judging.judges import Judges, JudgeSettings
from voicemill.model.judging.scores import Scores
from voicemill.model.judging.testset.held_out import GONE, NO_RULE, UNTOLD
from voicemill.model.judging.testset.speech import Speech, SpokenSentence
from voicemill.model.judging.testset.testset import TestSet, TestSetSettings
from voicemill.model.pitch.autocorrelation import Autocorrelation
from voicemill.model.settings.training import DataSettings, Phase, TrainingSettings
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.errors import ConfigError, Retired, StoreError
from voicemill.storage.files import write_bytes
from voicemill.storage.forgetting import erase
from voicemill.storage.forgetting.forget import erase_leftover_evaluations, evaluation_folder, forget_speaker
from voicemill.storage.records import Batch
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import Entry, WeightsFile
from voicemill.storage.voices.notice import write_speech

HOSTILE = "</span><script>alert(1)</script>\"'&"


def batches(*speakers: str) -> list[Batch]:
    text = "what a lovely day it is to say something"
    return [f.make_batch(n, *(f.upload(who, n, 8.0 + n / 2, text) for who in speakers)) for n in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two speakers; of ann four entries: one trained by the folders of its training, one without, a student of the
    first, and graphs of that one."""
    folder = tmp_path_factory.mktemp("plan")
    store = Store.open(folder / "store", create=True)
    assert f.corpus(store, batches("ann", "bob")) is not None
    for prefix in ("first.model.", "second.model."):
        add_entry(store, folder, "ann", prefix)
    add_entry(store, folder, "ann", "third.model.", "student", "ann/0001")
    data = DataSettings(validation_share=0.3)
    phases = {"some": Phase(steps=1, rate=1e-3, mix={"target": 1.0})}
    RunSpec(
        store=str(store.root),
        version=1,
        network="s1",
        phase="some",
        settings=TrainingSettings(data=data, phases=phases),
        speakers=("ann",),
    ).write(store.training / "first.model.")
    graphs = folder / "graphs"
    graphs.mkdir()
    (graphs / "s1.onnx").write_bytes(b"graph")
    card = registry.entries(store, "ann")[2].card
    made = replace(card, weights={"onnx": "onnx"}, kind="compressed", parent="ann/0003", files={})
    registry.add(store, made, {"onnx": graphs})
    return store


def plan_of(store: Store, *numbers: int, **more: object) -> EvaluationPlan:
    return plan_evaluation(EvaluateOptions(store=str(store.root), numbers=list(numbers), **more))  # type: ignore[arg-type]


def entry_of(plan: EvaluationPlan, number: int) -> Entry:
    return next(entry for entry in plan.entries if entry.number == number)


@pytest.mark.slow
def test_the_training_folders_tell_the_held_out_set(store: Store) -> None:
    """Trainings of an entry and of its ancestors."""
    for number, gone in ((1, ""), (3, "ann/0003"), (4, "ann/0003, ann/0004")):
        plan = plan_of(store, number)
        assert plan.notes == ((f"{GONE} ({gone})",) if gone else ())
        assert plan.held.data.validation_share == 0.3
        assert plan.held.heard
        sentences = plans.testset_of(plan).sentences
        assert all(sentence.unheard for sentence in sentences)
        assert not plan.held.heard & {sentence.id for sentence in sentences}
    assert plan_of(store, 2).notes == (f"{GONE} (ann/0002)", NO_RULE)
    both = plan_of(store, 2, 1)
    assert both.notes == (f"{GONE} (ann/0002)",)
    assert both.held == plan_of(store, 1).held
    assert both.held.heard == plan_of(store, 1).held.heard


def began_with(store: Store, folder: Path, entry: Entry, base: Entry) -> Entry:
    """Add an entry with the same trainings, started from a copy of the weights of `base`."""
    copy = shutil.copyfile(base.path("s1"), folder / "pretrained.safetensors")
    trained = replace(entry.card.trainings[0], folder=f"on {base.name.replace('/', '-')}")
    card = replace(entry.card, trainings=(trained,), base={"s1": WeightsFile.of(copy)})
    shutil.copytree(store.training / "first.model.", store.training / trained.folder)
    return registry.add(store, card, {"s1": entry.path("s1"), "s2": entry.path("s2")})


def trained_on_all(store: Store, folder: Path, voice: str, prefix: str) -> Entry:
    """Add an entry of another voice, trained on all speakers."""
    entry = add_entry(store, folder, voice, prefix)
    phases = {"all": Phase(steps=1, rate=1e-3, mix={"all": 1.0}, hold_back="speakers")}
    settings = TrainingSettings(data=DataSettings(validation_share=0.0), phases=phases)
    RunSpec(store=str(store.root), version=1, network="s2", phase="all", settings=settings).write(
        store.training / prefix
    )
    return entry


def test_training_data_of_the_starting_weights_is_not_held_out(store: Store, tmp_path: Path) -> None:
    """A voice started from another voice's weights, and one from that: trainings of all count, the rule is its own."""
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    alone = plan_of(copy, 1, voice="ann")
    base = trained_on_all(copy, tmp_path, "base", "base.model.")
    entry = began_with(copy, tmp_path, alone.entries[0], base)
    plan = plan_of(copy, entry.number, voice="ann")
    everything = set(plan.corpus.utterances(["id"])["id"].to_pylist())
    assert alone.held.heard < plan.held.heard == everything
    assert (plan.held.data, plan.held.by) == (alone.held.data, alone.held.by)
    assert plan.notes == ()
    assert all(sentence.unheard for sentence in plans.testset_of(alone).sentences)
    found = plans.testset_of(plan)
    assert not any(sentence.unheard for sentence in found.sentences)
    assert found.notes
    shutil.rmtree(copy.training / "base.model.")
    partly = plan_of(copy, entry.number, voice="ann")
    assert partly.notes == (f"{GONE} (base/0001)",)
    assert partly.held.heard == alone.held.heard
    base.folder.rename(tmp_path / "elsewhere")  # now nothing tells whose files they were
    assert plan_of(copy, entry.number, voice="ann").notes == ()


def test_a_training_without_a_folder_does_not_hide_the_others(store: Store, tmp_path: Path) -> None:
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    alone = plan_of(copy, 1)
    base = trained_on_all(copy, tmp_path, "base", "base.model.")
    run = copy.training / "base.model."
    replace(RunSpec.read(run), version=9).write(run)
    plan = plan_of(copy, began_with(copy, tmp_path, alone.entries[0], base).number, voice="ann")
    assert plan.held == alone.held
    assert plan.held.heard == alone.held.heard
    (note,) = plan.notes
    assert note.startswith(UNTOLD)
    assert "no corpus version 9" in note


@pytest.mark.slow
def test_complete_speech_of_an_equal_test_set_is_taken_from_another_corpus_version(
    store: Store, tmp_path: Path
) -> None:
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    old = plan_of(copy, 1)
    assert f.corpus(copy, [*batches("ann", "bob"), f.make_batch(5, f.upload("bob", 5, 9.0, "more"))]) is not None
    new = plan_of(copy, 1)
    before, now = plans.testset_of(old), plans.testset_of(new)
    assert (before.corpus_version, now.corpus_version, before.sha256) == (1, 2, now.sha256)
    first, entry = speech_folder(old, old.entries[0], before), new.entries[0]
    own = speech_folder(new, entry, now)
    assert (first.parent.parent, own.parent.parent) == (evaluation_folder(copy, 1), evaluation_folder(copy, 2))
    for sentence in before.sentences:
        assert speech_folder(new, entry, now) == own
        write_bytes(first / f"{sentence.id}.json", b"{}")
    assert speech_folder(new, entry, now) == first
    own.mkdir(parents=True)  # another run started it
    assert speech_folder(new, entry, now) == own


@pytest.mark.slow
def test_the_folder_of_speech_depends_on_everything_that_the_speech_depends_on(store: Store) -> None:
    base = plan_of(store, 1, 2, 3)
    sentences = plans.testset_of(base)
    folder = speech_folder(base, base.entries[0], sentences)
    assert folder.is_relative_to(store.reports)
    again = plan_of(store, 3, 1)
    assert speech_folder(again, entry_of(again, 1), sentences) == folder
    others = [
        speech_folder(base, base.entries[1], sentences),
        speech_folder(base, base.entries[2], sentences),
        speech_folder(base, base.entries[0], replace(sentences, sentences=sentences.sentences[:-1])),
    ]
    for more in ({"seed": 1}, {"threads": 7}, {"precision": "float32"}, {"engine": "onnx"}):
        plan = plan_of(store, 1, **more)
        others.append(speech_folder(plan, plan.entries[0], sentences))
    assert len({folder, *others}) == 1 + len(others)


def test_old_cards_without_digests_have_speech_of_their_own(store: Store) -> None:
    plan = plan_of(store, 1, 2)
    sentences = plans.testset_of(plan)
    old = [replace(entry, card=replace(entry.card, files={})) for entry in plan.entries]
    assert len({speech_folder(plan, entry, sentences) for entry in old}) == 2


def test_graphs_have_the_parameters_of_their_source(store: Store) -> None:
    plan = plan_of(store, 4, 3)
    count, name = evaluation_scores.parameters(plan, plan.entries[1])
    assert name == "ann/0003"
    assert evaluation_scores.parameters(plan, plan.entries[0]) == (count, "ann/0003")


def test_the_evaluated_entries(store: Store, tmp_path: Path) -> None:
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    assert [entry.number for entry in plan_of(copy).entries] == [4, 3]
    folder, who = copy.models / "ann", {"who": "test", "when": "2025", "why": "test"}
    status.retire(folder, 4, "compressed", **who)
    status.promote(folder, 2, "trained", instead_of=0, **who)
    assert [entry.number for entry in plan_of(copy).entries] == [3, 1]
    with pytest.raises(Retired):
        plan_of(copy, 4)
    assert [entry.number for entry in plan_of(copy, 4, 3, allow_retired=True).entries] == [4, 3]
    (copy.models / "eve").mkdir()
    shutil.copytree(folder / "0001", copy.models / "eve" / "0001")
    with pytest.raises(ConfigError, match=r"--voice: .* has 2: ann, eve"):
        plan_of(copy)


def test_the_newest_light_voice_is_the_speaker_encoder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = JudgeSettings(speaker_encoder="light")
    assert evaluation_scores.settings_of(store, settings) == settings
    named = JudgeSettings(speaker_encoder="some/model")
    assert evaluation_scores.settings_of(store, named) == named
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    card = registry.entries(copy, "ann")[0].card
    made = []
    for day in (2, 1):
        (tmp_path / "light").write_bytes(bytes([day]))
        names, when = {"light": "light.safetensors"}, f"2025-01-0{day}T00:00:00+00:00"
        light = replace(card, voice=f"v{day}", kind="light", created=when, weights=names, files={})
        made.append(registry.add(copy, light, {"light": tmp_path / "light"}))
    assert evaluation_scores.settings_of(copy, settings).speaker_encoder == str(made[0].path("light"))
    assert evaluation_scores.settings_of(copy, named) == named
    auto = JudgeSettings()
    assert evaluation_scores.settings_of(copy, auto) == auto
    with monkeypatch.context() as patched:  # the embedded encoder is not installed
        patched.setattr(evaluation_scores, "SPEAKER", replace(SPEAKER, package="no_such_package"))
        assert evaluation_scores.settings_of(copy, auto).speaker_encoder == str(made[0].path("light"))
    by = [
        evaluation_scores.settings_of(copy, settings, judged).speaker_encoder for judged in (made[:1], made[1:], made)
    ]
    assert by == [str(made[n].path("light")) for n in (1, 0, 0)]  # itself only if there is no other
    who = {"who": "forget", "when": "2026", "why": "somebody was forgotten"}
    status.retire(made[0].folder.parent, 1, "light", **who)
    assert evaluation_scores.settings_of(copy, settings).speaker_encoder == str(made[1].path("light"))
    status.retire(made[1].folder.parent, 1, "light", **who)
    assert evaluation_scores.settings_of(copy, settings) == settings


def test_promotion_and_evaluation_have_the_same_judges() -> None:
    """The command, the deployment and `voicemill evaluate` have the same defaults."""
    defaults = JudgeSettings()
    for command in (promote, evaluate):
        parameters = inspect.signature(command).parameters
        for name in ("speaker_encoder", "recogniser", "opinion"):
            assert parameters[name].default == getattr(defaults, name)


def scores_of(entry: Entry, sentences: TestSet) -> Scores:
    return Scores(
        testset=sentences.sha256,
        voice=entry.name,
        items={},
        totals={},
        missing={},
        lineage={"corpus_version": sentences.corpus_version},
    )


@pytest.mark.parametrize("forgotten", ["bob", "", "as a kill left it", "and it failed"])
def test_output_written_during_a_forgetting_is_erased(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    plan = plan_of(copy, 2, 1)
    sentences = plans.testset_of(plan)

    def write() -> None:
        if forgotten == "as a kill left it":
            monkeypatch.setattr(erase, "file_digest", killed)
            with pytest.raises(KeyboardInterrupt):
                forget_speaker(copy, "bob", created=f.WHEN)
        elif forgotten:
            forget_speaker(copy, "bob", created=f.WHEN)
        evaluation_page.path_of(plan, sentences.sha256).parent.mkdir(parents=True, exist_ok=True)
        evaluation_page.path_of(plan, sentences.sha256).write_text("what bob said")
        for entry in plan.entries:
            folder = speech_folder(plan, entry, sentences)
            folder.mkdir(parents=True)
            (folder / "sentence.flac").write_bytes(b"sound")
            registry.add_scores(entry, scores_of(entry, sentences).as_json())
        if forgotten == "and it failed":
            raise KeyboardInterrupt

    def killed(path: Path) -> str:
        raise KeyboardInterrupt

    if forgotten:
        with (
            pytest.raises(StoreError, match=r"a speaker of corpus version 1 .* was forgotten meanwhile"),
            erased_if_forgotten(plan, sentences),
        ):
            write()
    else:
        with erased_if_forgotten(plan, sentences):
            write()
    assert len(list(copy.reports.rglob("*.*"))) == (0 if forgotten else 3)
    assert [len(registry.scores(entry)) for entry in plan.entries] == ([0, 0] if forgotten else [1, 1])


def written(store: Store) -> list[Path]:
    """All files of evaluations."""
    return [path for top in (store.reports, *store.models.glob("*/*/evaluations")) for path in top.rglob("*.*")]


def judged_while_bob_is_forgotten(plan: EvaluationPlan) -> None:
    """The killed program: it writes an evaluation's output twice, and bob is forgotten in between."""
    sentences = plans.testset_of(plan)
    with erased_if_forgotten(plan, sentences):
        for turn in (1, 2):
            for entry in plan.entries:
                write_bytes(speech_folder(plan, entry, sentences) / "sentence.json", b"{}")
                registry.add_scores(entry, scores_of(entry, sentences).as_json())
            write_bytes(evaluation_page.path_of(plan, sentences.sha256), b"what bob said")
            if turn == 1:
                forget_speaker(plan.store, "bob", created=f.WHEN)
                (plan.store.root / "turn-2").touch()


def judged_to_its_end(plan: EvaluationPlan) -> None:
    with pytest.raises(StoreError, match="forgotten meanwhile"):
        judged_while_bob_is_forgotten(plan)


@pytest.mark.slow
def test_leftovers_of_a_killed_evaluation_are_swept(store: Store, tmp_path: Path) -> None:
    """An evaluation killed shortly before its end cannot delete its output; the next one does."""
    calm = Store(Path(shutil.copytree(store.root, tmp_path / "calm")))
    events = kill_points.run(judged_to_its_end, plan_of(calm, 2, 1), root=calm.root)
    assert written(calm) == []
    for before_end, mended_by in ((12, "evaluation"), (16, "forgetting"), (20, "refresh")):
        copy = Store(Path(shutil.copytree(store.root, tmp_path / mended_by)))
        kill_points.run(judged_while_bob_is_forgotten, plan_of(copy, 2, 1), root=copy.root, at=events - before_end)
        assert (copy.root / "turn-2").exists()
        assert written(copy)
        if mended_by == "forgetting":
            forget_speaker(copy, "ann", created=f.WHEN)
        elif mended_by == "refresh":
            erase_leftover_evaluations(copy)  # which is the first that it does: `tests/flows/test_evaluate.py`
        else:
            assert f.corpus(copy, batches("ann")) is not None
            later = plan_of(copy, 2, 1, allow_retired=True)
            with erased_if_forgotten(later, plans.testset_of(later)):
                assert written(copy) == []
        assert written(copy) == []


def test_differences_by_hand() -> None:
    one = Scores(
        "t", "a/2", {"mcd": {"x": 5.0, "y": 6.0, "z": 7.0}, "cer": {"x": 0.0}, "wer": {"x": 0.1, "y": 0.1}}, {}
    )
    other = Scores(
        "t", "a/1", {"mcd": {"x": 6.0, "y": 7.5, "w": 1.0}, "cer": {"x": 0.0}, "wer": {"x": 0.1, "y": 0.1}}, {}
    )
    found = {each.metric: each for each in differences([one, other])}
    assert set(found) == {"mcd", "wer"}  # a single sentence has no interval
    assert (found["mcd"].mean, found["mcd"].samples) == (-1.25, 2)
    assert found["mcd"].low <= -1.25 <= found["mcd"].high
    assert (found["wer"].mean, found["wer"].low, found["wer"].high) == (0, 0, 0)
    assert found["wer"].verdict == "no clear difference"
    many = {str(n): 5.0 + n % 3 / 10 for n in range(12)}
    better = Scores("t", "a/2", {"mcd": many, "mos": many}, {})
    worse = Scores(
        "t", "a/1", {name: {k: v + 1 + int(k) % 2 / 10 for k, v in many.items()} for name in ("mcd", "mos")}, {}
    )
    assert {each.metric: each.verdict for each in differences([better, worse])} == {"mcd": "better", "mos": "worse"}


@pytest.mark.slow
def test_hostile_texts_do_not_break_the_page(store: Store, tmp_path: Path) -> None:
    """Hostile text, a sentence without speech, and speech longer than the embedded limit."""
    plan = plan_of(store, 2, 1, testset=TestSetSettings(sentences=2, texts=(HOSTILE,)), listened=3)
    sentences = plans.testset_of(plan)
    judge = Judge(sentences, Judges(Autocorrelation(), missing={"mos": HOSTILE}), {})
    rng = np.random.default_rng(1)
    said, found = {}, {}
    for entry in plan.entries:
        folder = tmp_path / f"{entry.number}"
        folder.mkdir()
        spoken = {}
        for number, sentence in enumerate(sentences.sentences):
            seconds = 14 if number == 0 else 2
            write_speech(folder / f"{sentence.id}.flac", rng.normal(0, 0.05, seconds * RATE).astype(np.float32), RATE)
            spoken[sentence.id] = SpokenSentence(seconds, 1.0, error=HOSTILE if number == 1 else "")
        said[entry.name] = Speech(folder, spoken)
        found[entry.name] = evaluation_scores.scores(plan, entry, judge, said[entry.name])
    html = evaluation_page.render(plan, judge, found, said)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4
    assert html.count("<audio") == 2 + 2 * 2  # two recordings; of each entry all but one
    assert html.count('class="spectrogram"') == 2 + 2 * 2
    assert '<section id="bars">' in html
    assert '<section id="matrix">' not in html  # no encoder judged
    assert "14.0 s, the first 12 s" in html
    matrix = pictures.matrix({HOSTILE: {HOSTILE: 0.5, "ann": 0.25}})
    bars = pictures.bars({HOSTILE: {"mcd": {"one": 5.0, "two": 6.0}}})
    assert not any("<script" in svg for svg in (matrix, *(each.svg for each in bars)))
    assert all("&lt;/span" in svg for svg in (matrix, *(each.svg for each in bars)))
    path = evaluation_page.write(plan, judge, found, said)
    assert path.parent == evaluation_folder(store, 1)
    assert path.read_text(encoding="utf-8") == html
