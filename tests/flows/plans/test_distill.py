"""Plans of a distillation: the teacher, the order of its trainings, and refused options."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import factories as f
from support.model_cards import make_card, make_training

from voicemill.flows.plans.distill import DistillOptions, plan_distill
from voicemill.flows.plans.retrain import RetrainOptions, digest_of, plan_retrain
from voicemill.model.settings.training import LIGHT
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.errors import ConfigError, Retired, StoreError, VoicemillError
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import Entry, WeightsFile
from voicemill.storage.voices.lineage import ancestors


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a corpus of ann and bob, and two entries of ann's voice."""
    root = tmp_path_factory.mktemp("distill")
    store = Store.open(root / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"), f.upload("bob"))])
    add(store, root, "ann", b"first")
    add(store, root, "ann", b"second", {"s1": "s1", "s2": "s2", "s2_discriminator": "judges"})
    return root


def add(store: Store, root: Path, voice: str, weights: bytes, stems: dict[str, str] | None = None) -> Entry:
    stems = stems or {"s1": "s1", "s2": "s2"}
    files = {}
    for stem, words in stems.items():
        files[stem] = root / f"{words}.safetensors"
        files[stem].write_bytes(weights + stem.encode())
    names = {stem: f"{stem}.safetensors" for stem in files}
    training = make_training(best=0.5, folder=weights.decode())
    card = make_card(voice=voice, trainings=(training,), config="config", weights=names)
    return registry.add(store, card, files)


def options(root: Path, **changes: Any) -> DistillOptions:
    return DistillOptions(**{"store": str(root / "store"), "config": "tiny"} | changes)


def test_the_newest_entry_teaches_and_its_students_follow_each_other(root: Path) -> None:
    plan = plan_distill(options(root))
    assert (plan.voice, plan.teacher.name, plan.kinds) == ("ann", "ann/0002", ("student",))
    assert list(plan.trainings("student")) == [("distill", "s2"), ("distill", "s1"), ("joint", "s2")]
    first = plan.spec("distill", "s2", {})
    assert (first.start, first.speakers, first.teachers) == ("", ("ann",), plan.teachers)
    assert first.settings.start_discriminator == str(plan.teacher.path("s2_discriminator"))
    made = {"s1": "student-s1", "s2": "student-s2", "s2_discriminator": "judges"}
    joint = plan.spec("joint", "s2", made)
    assert (joint.start, joint.settings.start_s1, joint.settings.start_discriminator) == (
        "student-s2",
        "student-s1",
        "judges",
    )
    assert plan_distill(options(root, number=1)).teacher.name == "ann/0001"


def test_a_champion_teaches_rather_than_the_newest(root: Path, tmp_path: Path) -> None:
    from voicemill.storage.voices import status

    store = Store.open(tmp_path / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"))])
    for number in (b"one", b"two"):
        add(store, tmp_path, "ann", number)
    status.promote(store.models / "ann", 1, "trained", instead_of=0, who="me", when="now", why="better")
    assert plan_distill(options(tmp_path)).teacher.name == "ann/0001"
    status.retire(store.models / "ann", 1, "trained", who="me", when="now", why="forgotten")
    assert plan_distill(options(tmp_path)).teacher.name == "ann/0002"
    with pytest.raises(StoreError, match="was retired"):
        plan_distill(options(tmp_path, number=1))


def test_the_light_system_learns_from_the_corpus(root: Path) -> None:
    plan = plan_distill(options(root, which="both"))
    assert plan.kinds == ("student", "light")
    assert list(plan.trainings("light")) == [("light", network) for network in LIGHT]
    spec = plan.spec("light", "light_vocoder", {"light": "so-far", "s2": "x"})
    assert (spec.start, spec.teachers) == ("so-far", {})


def test_both_means_the_students_that_the_config_has_phases_for(root: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.toml"
    few.write_text('[phases.distill]\nsteps = 1\nrate = 1e-4\nteach = "alone"\n')
    assert plan_distill(options(root, which="both", config=str(few))).kinds == ("student",)
    assert plan_distill(options(root, which="both", config="few-shot")).kinds == ("student", "light")
    with pytest.raises(ConfigError, match="has no phase 'light'"):
        plan_distill(options(root, which="light", config=str(few)))
    few.write_text('[phases.distill]\nsteps = 1\nrate = 1e-4\nteach = "alone"\nnetworks = ["s1"]\n')
    with pytest.raises(ConfigError, match=r"phases.distill.networks lacks s2"):
        plan_distill(options(root, config=str(few)))


def test_trainings_are_identified_by_their_teachers(root: Path, tmp_path: Path) -> None:
    """Teacher, student sizes and loss weights identify a training; the location of files does not."""
    first = plan_distill(options(root)).spec("distill", "s1", {})
    different = [digest_of(first), digest_of(plan_distill(options(root, number=1)).spec("distill", "s1", {}))]
    settings = first.settings.distill.model_copy(update={"alpha": 0.5})
    different.append(digest_of(replace(first, settings=first.settings.model_copy(update={"distill": settings}))))
    copied = {stem: tmp_path / f"{stem}.x" for stem in first.teachers}
    for stem, path in copied.items():
        path.write_bytes(Path(first.teachers[stem]).read_bytes())
    assert digest_of(replace(first, teachers={stem: str(path) for stem, path in copied.items()})) == different[0]
    joint = plan_distill(options(root)).spec("joint", "s2", {"s1": str(copied["s1"]), "s2": str(copied["s2"])})
    different.append(digest_of(joint))
    other = joint.settings.model_copy(update={"start_s1": str(copied["s2"])})
    different.append(digest_of(replace(joint, settings=other)))
    assert len(set(different)) == len(different)


def test_plain_trainings_do_not_depend_on_distillation_settings(root: Path) -> None:
    base = str(root / "s2.safetensors")
    plain = plan_retrain(RetrainOptions(store=str(root / "store"), config="tiny", speakers=["ann"], start_s2=base))
    spec = plan_of(plain.spec("finetune", "s2", plain.base))
    settings = spec.settings.distill.model_copy(update={"alpha": 0.1})
    changed = replace(spec, settings=spec.settings.model_copy(update={"distill": settings}))
    assert digest_of(changed) == digest_of(spec)


def plan_of(spec: RunSpec) -> RunSpec:
    assert not spec.teachers
    return spec


def test_cards(root: Path) -> None:
    plan = plan_distill(options(root, which="both"))
    made = {"s1": str(root / "s1.safetensors"), "s2": str(root / "s2.safetensors"), "s2_discriminator": "judges"}
    card = plan.card("student", [], made)
    assert (card.kind, card.parent, card.weights) == (
        "student",
        "ann/0002",
        {"s1": "s1.safetensors", "s2": "s2.safetensors"},
    )
    assert set(card.base) == {"s1", "s2"}
    assert card.content == "mfcc"
    light = plan.card("light", [], {"light": str(root / "s2.safetensors")})
    assert (light.kind, light.parent, light.weights, light.base) == (
        "light",
        "ann/0002",
        {"light": "light.safetensors"},
        {},
    )


def test_the_card_of_a_light_system_names_its_starting_weights(root: Path, tmp_path: Path) -> None:
    """Forgetting follows it to models that learned from a speaker through another voice's weights."""
    store = Store(Path(shutil.copytree(root / "store", tmp_path / "store")))
    base = add(store, tmp_path, "base", b"light", {"light": "light"})
    start = shutil.copyfile(base.path("light"), tmp_path / "start.safetensors")
    config = tmp_path / "config.toml"
    text = '[phases.light]\nsteps = 1\nrate = 1e-3\nnetworks = ["light"]\n'
    config.write_text(f"start_light = '{start}'\n{text}")
    plan = plan_distill(options(tmp_path, voice="ann", which="light", config=str(config)))
    card = plan.card("light", [], {"light": str(start)})
    assert card.base == {"light": WeightsFile.of(start)}
    entry = registry.add(store, card, {"light": start})
    assert ancestors(store, entry.name, "weights") == [plan.teacher.name, base.name]
    config.write_text(f"start_light = '{base.path('light')}'\n{text}")
    status.retire(base.folder.parent, base.number, "trained", who="eve", when="2026", why="forgotten")
    with pytest.raises(Retired, match="forgotten"):
        plan_distill(options(tmp_path, voice="ann", which="light", config=str(config)))


STUDENTS = """
[phases.distill]
steps = 2
rate = 1e-3
teach = "alone"
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[phases.finetune]\nsteps = 1\nrate = 1e-3\n",
            "has no phase 'distill', which trains a student; it has finetune",
        ),
        (STUDENTS.replace("alone", ""), "phases.distill.teach = '': expected 'alone'"),
        (STUDENTS + '[phases.joint]\nsteps = 1\nrate = 1e-3\nteach = "joint"\n', "joint.networks = .*expected .'s2'."),
        (STUDENTS + 'networks = ["light"]\n', "has light, which is not a network of a student"),
        (STUDENTS + 'adapt = {kind = "lora"}\n', "a student is trained as a whole"),
        (STUDENTS + "[distill]\nalpha = 1.5\n", "distill.alpha"),
    ],
)
def test_configs_without_a_valid_student_are_refused(root: Path, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        plan_distill(options(root, config=str(tmp_path / "config.toml")))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"voice": "zoe"}, StoreError, "has no voice 'zoe'; it has ann"),
        ({"number": 9}, StoreError, "has no entry number 9 of kind trained; it has"),
        ({"version": 4}, StoreError, "has no corpus version 4"),
        ({"store": "nowhere"}, StoreError, "not a voicemill store"),
    ],
)
def test_missing_inputs_are_named(root: Path, changes: dict[str, Any], error: type[VoicemillError], words: str) -> None:
    with pytest.raises(error, match=words):
        plan_distill(options(root, **changes))


def test_a_voice_must_be_named_where_there_are_two(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"))])
    with pytest.raises(ConfigError, match=r"name a voice by --voice: .* has none yet"):
        plan_distill(options(tmp_path))
    for voice in ("ann", "bea"):
        add(store, tmp_path, voice, voice.encode())
    with pytest.raises(ConfigError, match="has 2: ann, bea"):
        plan_distill(options(tmp_path))


@pytest.mark.parametrize("phase", ["distill", "joint"])
def test_training_does_not_make_students(root: Path, phase: str) -> None:
    with pytest.raises(ConfigError, match=f"phase '{phase}' makes a student of a trained voice: `voicemill distill`"):
        plan_retrain(RetrainOptions(store=str(root / "store"), config="tiny", phases=[phase]))
