"""HuBERT, wav2vec 2.0 and BERT as graphs give the features that transformers gives."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_graphs import LOOSE, session
from support.tiny_speech_models import tiny_encoder
from support.tiny_voice import write_s1, write_s2

from voicemill.model.content.pretrained import Encoder
from voicemill.model.device import place
from voicemill.model.export import encoders
from voicemill.model.export.draft import Precision
from voicemill.model.export.exporting import export_voice
from voicemill.model.text.bert import CHANNELS, BertFeatures
from voicemill.model.voices.graphs import load_onnx_voice
from voicemill.model.voices.opening import open_voice
from voicemill.storage.errors import ConfigError, ModelMissing
from voicemill.storage.units import RATE


def encoder(folder: Path) -> Encoder:
    return Encoder.load(folder, -1, place("cpu", "float32"))


def waves() -> list[np.ndarray]:
    """An example, and up to three times as long; one whose last frame is cut."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in (4000, 8000, 12_123)]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Hubert", {}),
        ("Hubert", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}),
        ("Wav2Vec2", {"num_conv_pos_embeddings": 15}),
    ],
    ids=["hubert", "hubert-large", "wav2vec2"],
)
@pytest.mark.parametrize("precision", LOOSE)
def test_content(tmp_path: Path, kind: str, more: dict[str, object], precision: Precision) -> None:
    whole = encoder(tiny_encoder(tmp_path / "model", kind, **more))
    run = session(tmp_path, partial(encoders.content, encoder=whole), precision)
    for wave in waves():
        (expected,) = whole.encode([wave])
        actual = run(wave=wave[None])[0][0]
        assert actual.shape == expected.shape
        assert float(np.sqrt(np.square(actual - expected).mean()) / expected.std()) < LOOSE[precision]


def test_wavlm_is_refused(tmp_path: Path) -> None:
    whole = encoder(tiny_encoder(tmp_path / "model", "WavLM"))
    with pytest.raises(ConfigError, match=r"wavlm with gelu: graphs support hubert, wav2vec2"):
        session(tmp_path, partial(encoders.content, encoder=whole))


def bert(folder: Path) -> Path:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"今天气很好"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": CHANNELS, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_voice_takes_its_content_and_its_bert_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the original's export leaves out; the folder needs no other model afterwards."""
    from dataclasses import replace

    from support.tiny_voice import SPEAKING_S2

    hubert, roberta = tiny_encoder(tmp_path / "hubert", "Hubert"), bert(tmp_path / "bert")
    weights = {"s1": write_s1(tmp_path / "s1.safetensors")}
    weights["s2"] = write_s2(tmp_path / "s2.safetensors", replace(SPEAKING_S2, ssl_dim=32), {"content": str(hubert)})
    folder = export_voice(weights, tmp_path / "onnx", bert=str(roberta))
    plain = open_voice(weights, precision="float32", bert=str(roberta))
    recording = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    expected = plain.reference([recording], "今天天气很好。", "zh")
    for path in (hubert, roberta):
        path.rename(path.with_name("gone-" + path.name))
    with pytest.raises(ModelMissing):
        open_voice(weights, precision="float32")
    actual = load_onnx_voice(folder).reference([recording], "今天天气很好。", "zh")
    assert torch.equal(actual.codes, expected.codes)
    assert actual.bert.abs().max() > 0.5
    torch.testing.assert_close(actual.bert, expected.bert, atol=1e-4, rtol=0)


@pytest.mark.parametrize("precision", LOOSE)
def test_bert(tmp_path: Path, precision: Precision) -> None:
    whole = BertFeatures(str(bert(tmp_path / "bert")))
    run = session(tmp_path, partial(encoders.bert, features=whole), precision)
    for size in (3, 6, 9):
        tokens = torch.randint(10, (2, size))
        with torch.inference_mode():
            expected = whole.model(input_ids=tokens).last_hidden_state
        error = torch.from_numpy(run(tokens=tokens)[0]) - expected
        assert float(error.square().mean().sqrt() / expected.std()) < LOOSE[precision]
