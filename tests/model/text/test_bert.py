"""BERT features on a small random BERT with a vocabulary of characters, made here."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from voicemill.model.text.bert import CHANNELS, BertFeatures, _warn, features
from voicemill.model.text.frontend import phonemes
from voicemill.storage.errors import ConfigError, ModelMissing

CHARACTERS = "我有两本书今天很好,.!?…-"


def small_bert(folder: Path, width: int = CHANNELS, layers: int = 4) -> Path:
    """Write a random BERT for masked words to `folder`."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS]), "utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=5 + len(CHARACTERS), hidden_size=width, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=12,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bert(tmp_path_factory.mktemp("bert") / "small")


@pytest.fixture(scope="module")
def bert(folder: Path) -> BertFeatures:
    return BertFeatures(str(folder))


def reference(folder: Path, text: str) -> torch.Tensor:
    """`hidden_states[-3]` of the whole model for masked words, as s1 was trained: float32 [characters, 1024]."""
    tokens = BertTokenizerFast.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        states = BertForMaskedLM.from_pretrained(folder).eval()(**tokens, output_hidden_states=True).hidden_states
    return states[-3][0, 1:-1]


def test_characters_are_the_third_hidden_layer_from_the_end(bert: BertFeatures, folder: Path) -> None:
    torch.testing.assert_close(bert.characters("我有书."), reference(folder, "我有书."), atol=1e-5, rtol=0)


def test_each_character_stands_for_its_phones(bert: BertFeatures, folder: Path) -> None:
    expected = reference(folder, "我有书.")
    found = bert.phones("我有书.", [2, 0, 3, 1])
    assert found.shape == (CHANNELS, 6)
    torch.testing.assert_close(found.T, expected[[0, 0, 2, 2, 2, 3]], atol=1e-5, rtol=0)


def test_a_character_that_the_vocabulary_lacks_is_one_vector(bert: BertFeatures) -> None:
    assert bert.characters("我龘书").shape == (3, CHANNELS)
    assert bert.characters("").shape == (0, CHANNELS)


def test_text_longer_than_the_positions_is_read_in_pieces(bert: BertFeatures) -> None:
    text = "我有两本书今天很好,我有两本书今天"
    found = bert.characters(text)
    assert found.shape == (len(text), CHANNELS)
    torch.testing.assert_close(found[10:], bert.characters(text[10:]), atol=1e-5, rtol=0)


def test_a_count_that_does_not_fit_the_text(bert: BertFeatures) -> None:
    with pytest.raises(ValueError, match="word2ph counts 1 characters, the text has 2"):
        bert.phones("我有", [2])


def test_chinese_runs_have_features_and_english_ones_zeros(bert: BertFeatures) -> None:
    found = phonemes("今天很busy.", "zh")
    assert [run.language for run in found.runs] == ["zh", "en", "zh"]
    values = features(found, bert)
    assert values.shape == (CHANNELS, len(found.phones))
    first, second, third = (len(run.phones) for run in found.runs)
    assert values[:, :first].abs().sum() > 0
    assert values[:, first : first + second].abs().sum() == 0
    assert values[:, first + second :].abs().sum() > 0
    assert third == 1


def test_without_a_model_zeros_and_one_warning() -> None:
    _warn.cache_clear()
    found = phonemes("今天很好。", "zh")
    with pytest.warns(UserWarning, match="Chinese text without BERT features"):
        assert features(found, None).abs().sum() == 0
    assert features(found, None).shape == (CHANNELS, len(found.phones))


def test_english_alone_needs_no_model() -> None:
    found = phonemes("I", "en")
    assert features(found, None).shape == (CHANNELS, len(found.phones)) == (CHANNELS, 2)


def test_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its hidden size is 64, s1 takes 1024"):
        BertFeatures(str(small_bert(tmp_path / "narrow", width=64)))


def test_too_few_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 layers, at least 3"):
        BertFeatures(str(small_bert(tmp_path / "flat", layers=2)))


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    folder = small_bert(tmp_path / "other")
    save_file({"linear.weight": torch.zeros(2, 2)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"its weights lack embeddings\.LayerNorm"):
        BertFeatures(str(folder))


def test_a_folder_that_is_no_bert(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no BERT that transformers reads"):
        BertFeatures(str(tmp_path))


def test_offline_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path))
    with pytest.raises(ModelMissing, match="voicemill models fetch"):
        BertFeatures(setting="speak.bert")


def test_the_front_end_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from voicemill.model.text.frontend import phonemes; "
        "phonemes('我 love 你', 'zh'); print(sorted(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "'torch'" not in loaded
    assert "'transformers'" not in loaded
