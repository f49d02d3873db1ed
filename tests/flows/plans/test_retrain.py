"""Plans of a retrain: options refused before work starts, and one folder for equal trainings."""

from pathlib import Path
from typing import Any

import pytest
from support import factories as f
from support.model_cards import make_card

from voicemill.flows.cli.setup import as_toml
from voicemill.flows.plans.retrain import RetrainOptions, digest_of, plan_retrain
from voicemill.model.settings import training as settings_
from voicemill.model.settings.training import CONFIGS
from voicemill.storage.errors import ConfigError, NothingYet, Retired, StoreError, VoicemillError
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status

CONFIG = """
[s1.sizes]
layers = 2
[phases.finetune]
steps = 5
rate = 1e-3
mix = {target = 1.0}
[phases.reinforce]
steps = 5
rate = 1e-3
mix = {target = 0.5, others = 0.5}
[phases.codes]
steps = 5
rate = 1e-3
networks = ["s1"]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with ann and bob."""
    root = tmp_path_factory.mktemp("plan")
    store = Store.open(root / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"), f.upload("bob"))])
    (root / "config.toml").write_text(CONFIG)
    (root / "base.safetensors").write_bytes(b"weights")
    return root


def options(root: Path, **changes: Any) -> RetrainOptions:
    given = {"store": str(root / "store"), "config": str(root / "config.toml"), "speakers": ["ann"]}
    return RetrainOptions(**given | changes)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"store": "nowhere"}, StoreError, "not a voicemill store"),
        ({"version": 7}, StoreError, "has no corpus version 7; it has versions 1 to 1"),
        (
            {"config": "huge"},
            ConfigError,
            "no config .huge.: .* shipped configs are default, few-shot, light, tiny",
        ),
        ({"speakers": ["zoe"]}, NothingYet, "no utterance of speaker 'zoe'; it has ann, bob"),
        ({"phases": ["polish"]}, ConfigError, "has no phase 'polish'; it has finetune, reinforce, codes"),
        ({"speakers": [], "phases": ["finetune"]}, ConfigError, "draws on target speakers, and none is named"),
        ({"voice": "../x"}, ConfigError, "a name is 1 to 64"),
        ({"start_s2": "nowhere.pth"}, ConfigError, "s2 is to start from nowhere.pth: no such file"),
        ({"phases": ["codes"]}, ConfigError, "learns the codes of an s2, and there is none"),
    ],
)
def test_wrong_options_are_refused_by_name(root: Path, changes: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        plan_retrain(options(root, **changes))
    assert isinstance(caught.value, VoicemillError)


def test_a_version_with_a_forgotten_speaker_is_refused(tmp_path: Path, root: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"), f.upload("bob"))])
    forget_speaker(store, "bob", created=f.WHEN)
    with pytest.raises(NothingYet, match=r"a speaker of corpus version 1 of .* was forgotten") as caught:
        plan_retrain(options(root, store=str(store.root)))
    assert caught.value.state == "Waits for a refresh"


def test_waiting_states_have_names(tmp_path: Path, root: Path) -> None:
    with pytest.raises(NothingYet) as caught:
        plan_retrain(options(root, speakers=["ann", "zoe"]))
    assert caught.value.state == "Nothing of zoe yet"
    store = Store.open(tmp_path / "store", create=True)
    with pytest.raises(NothingYet, match="run `voicemill refresh`") as caught:
        plan_retrain(options(root, store=str(store.root)))
    assert caught.value.state == "No corpus version yet"
    with pytest.raises(StoreError, match="no corpus version 7"):
        plan_retrain(options(root, store=str(store.root), version=7))


def test_nothing_starts_from_a_retired_voice(tmp_path: Path, root: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    card = make_card(voice="base", speakers=(), weights={"s2": "s2.safetensors"})
    entry = registry.add(store, card, {"s2": root / "base.safetensors"})
    start = options(root, start_s2=str(entry.path("s2")))
    assert plan_retrain(start).base == {"s2": str(entry.path("s2"))}
    status.retire(entry.folder.parent, 1, "trained", who="eve", when=f.WHEN, why="forgotten")
    with pytest.raises(Retired, match="entry 1 of base was retired"):
        plan_retrain(start)


def test_the_phases_follow_each_other(root: Path) -> None:
    """Each phase starts from the result of the one before, and s1 learns the codes of the newest s2."""
    base = str(root / "base.safetensors")
    plan = plan_retrain(options(root, phases=["finetune", "reinforce"], start_s2=base, start_discriminator=base))
    assert list(plan.trainings()) == [(p, n) for p in ("finetune", "reinforce") for n in ("s2", "s1")]
    assert plan.base == {"s2": base, "s2_discriminator": base}
    first = plan.spec("finetune", "s2", plan.base)
    assert (first.start, first.settings.start_discriminator, first.quantizer, first.version) == (base, base, "", 1)
    made = plan.base | {"s2": "new-s2", "s2_discriminator": "new-d"}
    assert plan.spec("finetune", "s1", made).quantizer == "new-s2"
    assert plan.spec("finetune", "s1", made).start == ""
    second = plan.spec("reinforce", "s2", made | {"s1": "new-s1"})
    assert (second.start, second.settings.start_discriminator) == ("new-s2", "new-d")
    assert second.speakers == ("ann",)


def test_whose_new_speech_counts(root: Path) -> None:
    assert plan_retrain(options(root, phases=["finetune"])).heard == ("ann",)
    assert plan_retrain(options(root, phases=["finetune", "reinforce"])).heard == ()
    assert plan_retrain(options(root, speakers=[], phases=[], config="tiny")).heard == ()


def test_options_override_the_limits_of_the_config(root: Path) -> None:
    limits = plan_retrain(options(root, new_minutes=0.5)).settings.retrain
    assert (limits.new_minutes, limits.new_speakers) == (0.5, 3)


def test_equal_trainings_share_a_folder_and_different_ones_do_not(root: Path, tmp_path: Path) -> None:
    """Settings that do not affect the weights do not affect the digest: the training resumes."""

    def digest(text: str = CONFIG, network: Any = "s2", so_far: dict[str, str] | None = None, **changes: Any) -> str:
        (tmp_path / "config.toml").write_text(text)
        plan = plan_retrain(options(root, config=str(tmp_path / "config.toml"), **changes))
        return digest_of(plan.spec("finetune", network, plan.base if so_far is None else so_far))

    same = digest()
    copied = tmp_path / "copy.safetensors"
    copied.write_bytes(b"weights")
    base, other = str(root / "base.safetensors"), tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    logistics = "[loop]\nkeep = 9\ndevices = 2\ncheckpoint_every = 7\n[retrain]\nnew_minutes = 1\n[gate]\nsamples = 3\n"
    assert digest(CONFIG + logistics) == digest(CONFIG.replace("0.5, others = 0.5", "0.2, others = 0.8")) == same
    assert digest(new_minutes=3.0, force=True) == same
    assert digest(start_s2=base) == digest(start_s2=str(copied))  # the same bytes elsewhere
    different = [same, digest(start_s2=base), digest(start_s2=str(other)), digest(speakers=["ann", "bob"])]
    different += [digest(CONFIG.replace("steps = 5", "steps = 6")), digest(CONFIG + "[loop]\nseed = 5\n")]
    different += [digest(network="s1", so_far={"s2": base}), digest(network="s1", so_far={"s2": str(other)})]
    assert len(set(different)) == len(different)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_shown_settings_are_the_same_settings(name: str, tmp_path: Path) -> None:
    shown = as_toml(settings_.load(name))
    (tmp_path / "shown.toml").write_text(shown)
    assert settings_.load(str(tmp_path / "shown.toml")) == settings_.load(name)
    assert "# Optimiser steps.\nsteps = " in shown


def test_the_name_of_a_speaker_has_one_form(root: Path) -> None:
    stated = ["Jose\u0301 ", "an\u00adna  lee", "Bob"]
    assert options(root, speakers=stated).speakers == ["José", "anna lee", "Bob"]


def test_the_light_system_is_trained_from_a_corpus_alone(root: Path) -> None:
    """One file passes through its networks, and the entry has a lane of its own."""
    plan = plan_retrain(options(root, config="light"))
    assert (plan.kind, plan.phases, plan.content) == ("light", ("light",), "")
    assert list(plan.trainings()) == [("light", "light"), ("light", "light_vocoder")]
    assert plan.spec("light", "light", {}).start == ""
    assert plan.spec("light", "light_vocoder", {"light": "a.safetensors"}).start == "a.safetensors"
    based = plan_retrain(options(root, config="light", start_light=str(root / "base.safetensors")))
    assert based.base == {"light": str(root / "base.safetensors")}
    assert digest_of(based.spec("light", "light", based.base)) != digest_of(plan.spec("light", "light", {}))


def test_voices_of_two_kinds_are_not_trained_at_once(root: Path) -> None:
    with pytest.raises(ConfigError, match="'light' trains the light system, the others s1 or s2"):
        plan_retrain(options(root, config="default", phases=["finetune", "light"]))
