"""The models that judge, with random weights in the files that the real ones have; sizes; what trainings heard."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.signals import speechlike
from support.tiny_voice import SPEAKING_S1, tiny_light, write_s1, write_s2
from torch import nn

from voicemill.model.checkpoints.loading import load_s1, load_s2
from voicemill.model.checkpoints.writing import write
from voicemill.model.data.index import index
from voicemill.model.device import place
from voicemill.model.judging.judges import JudgeSettings, judges
from voicemill.model.judging.metrics.opinion import Predictor
from voicemill.model.judging.metrics.size import parameters, size
from voicemill.model.judging.metrics.speaker import LightSpeaker, XVector, enrol, nearest
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.testset import HeldOut, TestSetSettings
from voicemill.model.judging.testset.trained_on import trained_on
from voicemill.model.settings.training import Phase, TrainingSettings
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import CheckpointError, ConfigError
from voicemill.storage.units import RATE

HERE = place("cpu", "float32")
BARE = {"recogniser": "none", "f0_engine": "autocorrelation"}


def sizes() -> dict[str, object]:
    return {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "tdnn_dim": [16] * 5,
        "xvector_output_dim": 12,
        "classifier_proj_size": 8,
    }


def described(folder: Path) -> Path:
    """With the file that says how the network hears."""
    extractor = {"do_normalize": True, "feature_size": 1, "sampling_rate": 16000, "padding_value": 0.0}
    extractor["feature_extractor_type"] = "Wav2Vec2FeatureExtractor"
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2ForXVector

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("xvector")
    Wav2Vec2ForXVector(Wav2Vec2Config(**sizes())).save_pretrained(folder)
    return described(folder)


def light(folder: Path, trained: tuple[str, ...]) -> Path:
    path = folder / "light.safetensors"
    write(path, tiny_light(4).checkpoint(trained=trained))
    return path


@pytest.mark.slow
def test_voices_are_told_by_both_kinds_of_encoder(network: Path, tmp_path: Path) -> None:
    """Rows of length 1, the same whatever stands beside them; a voice is nearest to what it was enrolled with."""
    waves = [speechlike(1.5, seed) for seed in range(3)]
    for encoder in (XVector(network, HERE), LightSpeaker(light(tmp_path, ("speaker",)), HERE)):
        together = encoder.embed(waves)
        assert together.dtype == np.float32
        assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
        for row, wave in zip(together, waves, strict=True):
            assert encoder.embed([wave])[0] == pytest.approx(row, abs=1e-6)
        gallery = enrol(encoder, {str(number): [wave] for number, wave in enumerate(waves)} | {"nobody": []})
        assert list(gallery) == ["0", "1", "2"]
        assert [nearest(row, gallery) for row in together] == ["0", "1", "2"]


@pytest.mark.slow
def test_judges_name_the_encoder_that_they_use(network: Path, tmp_path: Path) -> None:
    for path in (network, light(tmp_path, ("speaker",))):
        settings = JudgeSettings(speaker_encoder=str(path), **BARE, opinion="none")  # type: ignore[arg-type]
        found = judges(settings, {})
        assert found.speaker is not None
        assert path.name in found.models["speaker"]
        assert "similarity" not in found.missing


@pytest.mark.slow
def test_what_is_no_speaker_encoder_is_refused(network: Path, tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    Wav2Vec2Model(Wav2Vec2Config(**sizes())).save_pretrained(tmp_path / "headless")
    with pytest.raises(ConfigError, match=r"no x-vector network of transformers.*Wav2Vec2Model"):
        XVector(described(tmp_path / "headless"), HERE)
    with pytest.raises(CheckpointError, match="speaker was never trained"):
        LightSpeaker(light(tmp_path, ()), HERE)


class Loudness(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Gives a wave of amplitude a the score 1 + 4 a."""

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return 1 + 4 * wave.abs().amax(-1)


@pytest.mark.slow
def test_an_opinion_comes_from_a_torchscript_file_or_a_folder(tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.jit.script(Loudness()).save(str(tmp_path / "mos.pt"))
    tone = 0.5 * np.sin(np.arange(RATE, dtype=np.float32) * 0.05).astype(np.float32)
    assert Predictor(tmp_path / "mos.pt", HERE).score(tone) == pytest.approx(3, abs=0.01)
    with pytest.raises(ConfigError, match="expected one score of 1 to 5"):
        Predictor(tmp_path / "mos.pt", HERE).score(tone * 10)
    network = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**sizes(), num_labels=1))
    with torch.no_grad():
        network.classifier.weight.zero_()
        network.classifier.bias.fill_(3.5)
    network.save_pretrained(tmp_path / "mos")
    assert Predictor(described(tmp_path / "mos"), HERE).score(tone) == pytest.approx(3.5)
    settings = JudgeSettings(opinion=str(tmp_path / "mos"), **BARE, speaker_encoder="none")  # type: ignore[arg-type]
    found = judges(settings, {})
    assert found.opinion is not None
    Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**sizes(), num_labels=2)).save_pretrained(tmp_path / "two")
    (tmp_path / "text.pt").write_text("no model")
    for wrong in (described(tmp_path / "two"), tmp_path / "text.pt"):
        with pytest.raises(ConfigError, match="expected a TorchScript file"):
            Predictor(wrong, HERE)


def test_sizes_are_of_what_speaks(tmp_path: Path) -> None:
    weights = {"s1": write_s1(tmp_path / "s1.safetensors"), "s2": write_s2(tmp_path / "s2.safetensors")}
    networks = (load_s1(weights["s1"]), load_s2(weights["s2"]))
    count = sum(p.numel() for net in networks for name, p in net.state_dict().items() if not name.startswith("enc_q."))
    assert parameters(weights) == count
    assert size(weights) == sum(path.stat().st_size for path in weights.values())
    beside = weights | {"s2_discriminator": write_s1(tmp_path / "d.safetensors", replace(SPEAKING_S1, layers=1))}
    assert (parameters(beside), size(beside)) == (parameters(weights), size(weights))
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for number in (1, 2):
        (graphs / f"{number}.onnx").write_bytes(b"x" * number)
    assert (parameters({"onnx": graphs}), size({"onnx": graphs})) == (None, 3)


def spec(corpus: CorpusVersion, mix: dict[str, float], by: str = "recordings") -> RunSpec:
    phase = Phase(steps=1, rate=1e-3, mix=mix, hold_back=by)  # type: ignore[arg-type]
    settings = TrainingSettings(phases={"some": phase})
    return RunSpec(
        store=str(corpus.store.root),
        version=1,
        network="s1",
        phase="some",
        settings=settings,
        speakers=("ann",) if "target" in mix else (),
    )


def test_a_sentence_is_unheard_if_no_training_drew_on_it(corpus: CorpusVersion) -> None:
    target, everybody = spec(corpus, {"target": 1.0}), spec(corpus, {"all": 1.0})
    found = index(corpus, target.settings.data)
    ids = {name.decode() for name, who in zip(found.ids, found.speaker, strict=True) if found.speakers[who] == "ann"}
    alone = trained_on(corpus.store, [target]).utterances
    both = trained_on(corpus.store, [target, everybody]).utterances
    assert alone < ids
    assert both == alone | trained_on(corpus.store, [everybody]).utterances
    settings = TestSetSettings(sentences=100)
    gone = replace(target, version=9)
    partly = trained_on(corpus.store, [gone, target])
    assert (partly.utterances, len(partly.untold)) == (alone, 1)
    assert "no corpus version 9" in partly.untold[0]
    free = testset.make(corpus, ["ann"], settings, HeldOut(heard=alone))
    assert {sentence.id for sentence in free.sentences} == ids - alone
    assert free.notes == ()
    shared = testset.make(corpus, ["ann"], settings, HeldOut(heard=both))
    left = ids - both
    assert {sentence.id for sentence in shared.sentences} == (left or ids - alone)
    assert all(sentence.unheard == bool(left) for sentence in shared.sentences)
    assert bool(shared.notes) != bool(left)
