"""The model: masks, padding, positions, keys and values kept, saved and loaded."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_voice import S1, random_prefix, tiny_s1

from voicemill.model.s1.cached import CachedEngine
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic, plain_mask, positions, prefix_mask
from voicemill.storage.errors import ConfigError


@pytest.fixture(scope="module")
def model() -> Text2Semantic:
    return tiny_s1()


def test_the_real_size() -> None:
    module = Text2Semantic()
    assert sum(p.numel() for p in module.parameters()) == 77_606_402
    assert len(module.state_dict()) == 295


def test_masks_literally() -> None:
    mask = plain_mask(2, 2, torch.device("cpu"))
    assert mask is not None
    assert mask.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    padded = prefix_mask(torch.tensor([1, 2]), torch.tensor([2, 1]), 2, 2)
    assert padded[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]]
    assert padded[1, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
    assert plain_mask(3, 0, torch.device("cpu")) is None


def test_positions_literally() -> None:
    table = positions(3, 4)
    expected = [[0, 1, 0, 1], [0.8415, 0.5403, 0.0100, 0.9999], [0.9093, -0.4161, 0.0200, 0.9998]]
    torch.testing.assert_close(table, torch.tensor(expected), atol=1e-4, rtol=0)


def test_positions_grow_on_demand(model: Text2Semantic) -> None:
    module = Text2Semantic(S1)
    assert torch.equal(module.ar_audio_position.rows(3000), positions(3000, 64))
    assert "ar_audio_position.table" not in module.state_dict()


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 99))
@torch.inference_mode()
def test_a_padded_row_has_the_logits_it_has_alone(
    model: Text2Semantic, sizes: list[tuple[int, int]], seed: int
) -> None:
    rows = [random_prefix(seed + number, *size) for number, size in enumerate(sizes)]
    time, length = max(size[0] for size in sizes), max(size[1] for size in sizes)
    generator = torch.Generator().manual_seed(seed)
    phones = torch.randint(40, (len(rows), time), generator=generator)
    codes = torch.randint(17, (len(rows), length), generator=generator)
    bert = torch.randn(len(rows), 24, time, generator=generator)
    for number, row in enumerate(rows):
        assert row.bert is not None
        phones[number, : len(row.phones)] = row.phones
        bert[number, :, : len(row.phones)] = row.bert
        codes[number, : len(row.prompt)] = row.prompt
    together = model(phones, bert, codes, [size[0] for size in sizes], [size[1] for size in sizes])
    assert together.shape == (len(rows), length + 1, 17)
    for number, row in enumerate(rows):
        assert row.bert is not None
        alone = model(row.phones[None], row.bert[None], row.prompt[None])
        torch.testing.assert_close(together[number, : len(row.prompt) + 1], alone[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_codes_see_no_later_codes_and_phones_see_none(model: Text2Semantic) -> None:
    row = random_prefix(3, 5, 6)
    assert row.bert is not None
    other = row.prompt.clone()
    other[3] = (other[3] + 1) % 16
    before, after = (model(row.phones[None], row.bert[None], codes[None])[0] for codes in (row.prompt, other))
    assert torch.equal(before[:4], after[:4])
    assert (before[4:] - after[4:]).abs().amax(1).min() > 1e-3


@torch.inference_mode()
def test_no_bert_is_bert_of_zeros(model: Text2Semantic) -> None:
    row = random_prefix(3, 5, 6)
    zeros = torch.zeros(1, 24, 5)
    assert torch.equal(model.text(row.phones[None], None), model.text(row.phones[None], zeros))


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 99))
@torch.inference_mode()
def test_the_cache_gives_the_logits_of_the_whole(model: Text2Semantic, sizes: list[tuple[int, int]], seed: int) -> None:
    prefixes = [random_prefix(seed + number, *size) for number, size in enumerate(sizes)]
    codes = torch.randint(16, (len(sizes), 12), generator=torch.Generator().manual_seed(seed))
    decoding = CachedEngine(model).begin(prefixes, 12)
    seen = [decoding.logits]
    for column in codes.T:
        decoding.advance(column)
        seen.append(decoding.logits)
    for row, prefix in enumerate(prefixes):
        assert prefix.bert is not None
        whole = model(prefix.phones[None], prefix.bert[None], torch.cat([prefix.prompt, codes[row]])[None])[0]
        steps = torch.stack([logits[row] for logits in seen])
        torch.testing.assert_close(steps, whole[len(prefix.prompt) :], atol=1e-5, rtol=0)


def test_save_and_load(model: Text2Semantic, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file(model.state_dict(), tmp_path / "s1.safetensors")
    other = Text2Semantic(S1)
    other.load_state_dict(load_file(tmp_path / "s1.safetensors"))
    row = random_prefix(1, 4, 3)
    assert torch.equal(*(m.eval()(row.phones[None], None, row.prompt[None]) for m in (model, other)))


def test_dropout_only_while_training(model: Text2Semantic) -> None:
    row = random_prefix(1, 4, 3)
    torch.manual_seed(0)
    try:
        model.train()
        noisy = model(row.phones[None], None, row.prompt[None])
    finally:
        model.eval()
    clean = model(row.phones[None], None, row.prompt[None])
    assert torch.equal(clean, model(row.phones[None], None, row.prompt[None]))
    assert (noisy - clean).abs().max() > 0.01


@pytest.mark.parametrize(
    ("phones", "codes", "message"),
    [
        ([0, 2], None, "from 1 to 3"),
        ([4, 2], None, "from 1 to 3"),
        ([3], None, "2 rows"),
        (None, [3, 0], "from 0 to 2"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(
    model: Text2Semantic, phones: list[int] | None, codes: list[int] | None, message: str
) -> None:
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        model(tokens, None, tokens[:, :2], phones, codes)


def test_settings_of_an_official_checkpoint() -> None:
    official = {"vocab_size": 1025, "phoneme_vocab_size": 732, "embedding_dim": 512, "hidden_dim": 512, "head": 16}
    official |= {"linear_units": 2048, "n_layer": 24, "dropout": 0, "EOS": 1024}
    assert S1Config.of({"model": official}) == S1Config()
    assert S1Config.of(json.loads(json.dumps(S1.official()))) == S1Config(
        phonemes=40, codes=16, dim=64, heads=4, layers=2
    )
    with pytest.raises(ConfigError, match="lack head, EOS"):
        S1Config.of({"model": {key: value for key, value in official.items() if key not in ("head", "EOS")}})
    with pytest.raises(ConfigError, match="lack model"):
        S1Config.of({})
    with pytest.raises(ConfigError, match="EOS 1023 of 1025"):
        S1Config.of({"model": official | {"EOS": 1023}})


@pytest.mark.parametrize(
    ("change", "message"),
    [({"dim": 63}, "even and a multiple"), ({"layers": 0}, "s1.layers = 0"), ({"dropout": 1.0}, "s1.dropout")],
)
def test_sizes_that_cannot_be_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        S1Config(**change)  # type: ignore[arg-type]
