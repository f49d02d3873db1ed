"""What a training starts from: nothing, our own checkpoints, official ones; what is refused, and how it is said."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.golden import fill
from support.minibatches import batch_of
from support.tiny_voice import TRAINED_S1, TRAINED_S2

from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.checkpoints.writing import write, write_official
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Phase, TrainingSettings, load
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.objectives.s2 import S2Objective
from voicemill.model.training.starting import objective_of
from voicemill.storage.errors import CheckpointError, ConfigError

SIZES = {name: value for name, value in asdict(TRAINED_S2).items() if name not in ("version", "phones", "ssl_dim")}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec(network: str = "s2", kind: str = "full", **changes: Any) -> RunSpec:
    """A run of the small sizes; `changes`: of the run, or of the settings of its networks ("s2.version")."""
    own = {name: changes.pop(name) for name in list(changes) if name in ("start", "quantizer")}
    s1: dict[str, Any] = {"sizes": {"dim": 32, "heads": 4, "layers": 2, "bert": 8}} | changes.pop("s1", {})
    s2: dict[str, Any] = {"sizes": SIZES, "discriminator": False} | changes.pop("s2", {})
    phase = Phase(steps=1, rate=1e-3, adapt={"kind": kind})  # type: ignore[arg-type]
    settings = TrainingSettings(s1=s1, s2=s2, phases={"one": phase}, **changes)
    return RunSpec(store="store", version=1, network=network, phase="one", settings=settings, **own)  # type: ignore[arg-type]


def begun(what: RunSpec, dims: int = 6) -> Objective:
    batch = batch_of([30, 24, 40], dims)
    return objective_of(what, dims, lambda: iter([batch]))


def never() -> Iterator[Minibatch]:
    pytest.fail("a checkpoint has its codebook: the corpus is not to be read for one")


@pytest.fixture(scope="module")
def s2_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("s2") / "s2.safetensors"
    network = Synthesizer(TRAINED_S2)
    write(path, Checkpoint("s2", "v2", fill(network.state_dict()), header(TRAINED_S2)))
    return path


@pytest.fixture(scope="module")
def s1_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("s1") / "s1.safetensors"
    config = replace(TRAINED_S1, phonemes=732)
    write(path, Checkpoint("s1", "v2", Text2Semantic(config).state_dict(), header(config)))
    return path


def test_from_scratch_is_the_same_every_time() -> None:
    """On every process alike, whatever torch's generator was seeded with; other content dimensions than HuBERT's."""
    torch.manual_seed(1)
    first = begun(spec(), dims=9)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = begun(spec(), dims=9)
    assert torch.equal(torch.random.get_rng_state(), state)
    for key, value in first.modules["s2"].state_dict().items():
        assert torch.equal(second.modules["s2"].state_dict()[key], value)
    assert first.modules["s2"].config.ssl_dim == 9
    assert "s2 from scratch; 12 of 12 codes in use, by k-means over 47 pairs of frames" in first.notes
    assert first.rounds == ("s2",)
    other = begun(spec(loop={"seed": 5}), dims=9)
    assert not torch.equal(other.modules["s2"].dec.conv_pre.weight, first.modules["s2"].dec.conv_pre.weight)


@pytest.mark.parametrize("network", ["s2", "s1"])
def test_a_checkpoint_of_other_content_features_is_refused(network: Any, tmp_path: Path) -> None:
    """Also where the dimensions agree: plain and normalised cepstra are both 39."""
    path = tmp_path / "s2.safetensors"
    weights, lineage = Synthesizer(TRAINED_S2).state_dict(), {"content": "mfcc"}
    write(path, Checkpoint("s2", "v2", weights, header(TRAINED_S2), lineage=lineage))
    given = replace(spec(), network=network, **{"s2": {"start": str(path)}, "s1": {"quantizer": str(path)}}[network])
    with pytest.raises(ConfigError, match="trained on the content features mfcc, the corpus has mfcc-cmvn"):
        objective_of(given, 6, never, content="mfcc-cmvn")
    assert objective_of(given, 6, never, content="mfcc").modules.keys() == objective_of(given, 6, never).modules.keys()


def test_from_our_own_checkpoint(s2_file: Path) -> None:
    objective = objective_of(spec(start=str(s2_file)), 6, never)
    expected = fill(objective.modules["s2"].state_dict())
    for key, value in objective.modules["s2"].state_dict().items():
        assert torch.equal(value, expected[key])
    assert objective.notes[0] == f"s2 from {s2_file}"
    assert objective.modules["s2"].config == TRAINED_S2


def test_a_start_of_the_run_goes_before_that_of_the_settings(s2_file: Path) -> None:
    assert objective_of(spec(start_s2=str(s2_file)), 6, never).notes[0] == f"s2 from {s2_file}"
    both = spec(start=str(s2_file), start_s2="nowhere.safetensors")
    assert objective_of(both, 6, never).notes[0] == f"s2 from {s2_file}"


def test_s1_learns_the_codes_of_a_quantizer(s2_file: Path, s1_file: Path) -> None:
    scratch = begun(spec("s1", quantizer=str(s2_file), s1={"dropout": 0.3}))
    config = scratch.modules["s1"].config
    assert (config.codes, config.phonemes, config.dim, config.dropout) == (12, 732, 32, 0.3)
    assert f"codes of {s2_file}" in scratch.notes
    further = begun(spec("s1", start=str(s1_file), quantizer=str(s2_file), s1={"dropout": 0.2}))
    dropouts = [layer.p for layer in further.modules["s1"].modules() if isinstance(layer, torch.nn.Dropout)]
    assert dropouts
    assert set(dropouts) == {0.2}
    for objective in (scratch, further):
        batch = batch_of([20, 12], phones=732)
        assert all(loss.isfinite() for loss in objective.losses("s1", batch).values())


def test_adapters_and_what_moves_is_said(s2_file: Path) -> None:
    objective = objective_of(spec(kind="lora", start=str(s2_file)), 6, never)
    moved = {name for name, p in objective.modules["s2"].named_parameters() if p.requires_grad}
    assert moved
    assert all(".lora_" in name for name in moved)
    count = sum(p.numel() for p in objective.modules["s2"].parameters() if p.requires_grad)
    assert any(note.startswith(f"trainable: {count:,} of ") for note in objective.notes)


def test_discriminators_come_along(s2_file: Path, tmp_path: Path) -> None:
    """Beside our s2, beside the official file, and from the settings where there are none."""
    judges = Discriminators(replace(TRAINED_S2, periods=(3,)))
    weights = fill(judges.state_dict(), "D.")
    about = Checkpoint("s2_discriminator", "v2", weights, header(replace(TRAINED_S2, periods=(3,))))
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "s2_discriminator.safetensors", about)
    write(tmp_path / "named.safetensors", about)
    start = tmp_path / "a" / "s2.safetensors"
    start.write_bytes(s2_file.read_bytes())
    cases = {
        tmp_path / "a" / "s2_discriminator.safetensors": spec(
            start=str(start), s2={"discriminator": True}, start_discriminator="nowhere"
        ),
        tmp_path / "named.safetensors": spec(
            start=str(s2_file), s2={"discriminator": True}, start_discriminator=str(tmp_path / "named.safetensors")
        ),
    }
    for path, what in cases.items():
        objective = objective_of(what, 6, never)
        assert f"discriminators from {path}" in objective.notes
        for key, value in objective.modules["discriminator"].state_dict().items():
            assert torch.equal(value, weights[key])
        again = objective.checkpoints({})["s2_discriminator"]
        assert again.config["sizes"]["periods"] == [3]
    scratch = objective_of(spec(start=str(s2_file), s2={"discriminator": True}), 6, never)
    assert "discriminators from scratch" in scratch.notes
    assert scratch.rounds == ("discriminator", "s2")


def test_speaker_loss_needs_an_encoder_that_knows_voices(s2_file: Path) -> None:
    weighted = {"speaker_weight": 0.8}
    objective = objective_of(spec(start=str(s2_file), s2=weighted), 6, never)
    assert "speaker" in objective.losses("s2", batch_of([20, 12]))
    scratch = begun(spec(s2=weighted))
    assert "speaker" not in scratch.losses("s2", batch_of([20, 12]))
    assert any(note.startswith("no speaker loss") for note in scratch.notes)
    given = objective_of(spec(s2=weighted), 6, lambda: iter([batch_of([30])]), lambda wave: wave[:, :100])
    assert "speaker" in given.losses("s2", batch_of([20, 12]))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v2", "v2Pro", "v2ProPlus"])
def test_official_files_without_posterior_are_refused_others_taken(version: str, tmp_path: Path) -> None:
    path = tmp_path / "s2.pth"
    weights = fill(Synthesizer(S2Config.of(version), posterior=False).state_dict())
    write_official(path, Checkpoint("s2", version, weights))
    with pytest.raises(CheckpointError, match="no posterior encoder"):
        objective_of(spec(start=str(path)), 768, never)
    whole = fill(Synthesizer(S2Config.of(version)).state_dict())
    torch.save({"weight": whole, "config": {}, "info": "pretrained"}, path)
    objective = objective_of(spec(start=str(path)), 768, never)
    assert objective.notes[0] == f"s2 from {path} (pretrained)"
    assert objective.modules["s2"].config.version == version
    assert ("speaker_embedding" in objective.needs) == (version != "v2")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (spec(s2={"sizes": SIZES | {"hiden": 8}}), "s2.sizes: 1 sizes that S2Config does not have: hiden"),
        (spec(s2={"sizes": SIZES | {"hidden": "8"}}), "size hidden = 8: expected a whole number"),
        (spec(s2={"sizes": SIZES | {"ssl_dim": 7}}), "s2.sizes.ssl_dim = 7, but here it is 6: leave it out"),
        (spec(kind="lora"), "adapt.kind = 'lora', but there is nothing to adapt: set start_s2"),
        (spec("s1"), "s1 learns the codes of an s2, but none is named: set start_s2"),
    ],
)
def test_contradictions_are_named(what: RunSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        begun(what)


def test_another_corpus_or_codebook_is_refused(s2_file: Path, s1_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="6 dimensions, the corpus has 9"):
        objective_of(spec(start=str(s2_file)), 9, never)
    with pytest.raises(ConfigError, match="6 dimensions, the corpus has 9"):
        objective_of(spec("s1", quantizer=str(s2_file)), 9, never)
    other = Synthesizer(replace(TRAINED_S2, codebook=13))
    path = tmp_path / "s2.safetensors"
    write(path, Checkpoint("s2", "v2", other.state_dict(), header(other.config)))
    with pytest.raises(ConfigError, match="s1 has 12 codes, the quantizer of s2 has 13"):
        objective_of(spec("s1", start=str(s1_file), quantizer=str(path)), 6, never)
    with pytest.raises(CheckpointError, match="a checkpoint of s1, expected one of s2"):
        objective_of(spec(start=str(s1_file)), 6, never)
    with pytest.raises(CheckpointError, match="is not a file"):
        objective_of(spec(start="nowhere.safetensors"), 6, never)


def test_shipped_tiny_config_starts() -> None:
    """With the MFCC of a machine without models."""
    what = replace(spec(), settings=load("tiny"), phase="pretrain")
    objective = begun(what, dims=39)
    assert isinstance(objective, S2Objective)
    assert sum(p.numel() for p in objective.modules["s2"].parameters()) < 1_000_000
