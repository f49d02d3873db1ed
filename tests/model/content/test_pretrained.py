"""Encoders against transformers itself, in batches and alone; MFCC against a second definition."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemill.model.content.encoders import cepstra, load_encoder, wants_normalised
from voicemill.model.content.mfcc import LIMIT, Mfcc, differences
from voicemill.model.content.names import CEPSTRA, content_name
from voicemill.model.content.pretrained import FIELD, HOP, Encoder, batches, frames_of
from voicemill.model.device import place
from voicemill.storage.errors import ConfigError, ModelMissing
from voicemill.tasks.stages import content

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (24,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
KINDS = {
    "hubert-base": ("Hubert", {}),
    "hubert-large": ("Hubert", STABLE),
    "wav2vec2-base": ("Wav2Vec2", {}),
    "wav2vec2-large": ("Wav2Vec2", STABLE),
    "wavlm-base": ("WavLM", {}),
}


def model(kind: str) -> Any:
    """A small model of that kind, with weights unlike those of its initialisation, so that norms and biases matter."""
    import transformers

    name, more = KINDS[kind]
    torch.manual_seed(7)
    made = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**SMALL, **more)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def wave(samples: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (0.1 * np.cumsum(rng.standard_normal(samples)) * 0.1 + 0.05 * rng.standard_normal(samples)).astype(
        np.float32
    )


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [-1, 0, 2, 3])
def test_an_encoder_is_that_of_transformers(kind: str, layer: int) -> None:
    x = wave(23_457)
    with torch.inference_mode():
        out = model(kind)(torch.from_numpy(x)[None], output_hidden_states=True)
    expected = out.last_hidden_state if layer in (-1, 3) else out.hidden_states[layer]
    (actual,) = Encoder(model(kind), layer, place("cpu", "float32")).encode([x])
    assert actual.shape == (frames_of(len(x)), 32)
    np.testing.assert_allclose(actual, expected[0].numpy(), atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_but_rounding(kind: str) -> None:
    encoder = Encoder(model(kind), -1, place("cpu", "float32"))
    waves = [wave(n, n) for n in (16_000, 15_321, 9_000, 16_000)]
    for together, alone in zip(encoder.encode(waves), (encoder.encode([w])[0] for w in waves), strict=True):
        np.testing.assert_allclose(together, alone, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_stays_close_alone_and_in_a_batch(kind: str) -> None:
    plain, fast = (Encoder(model(kind), -1, place("cpu", p)) for p in ("float32", "bfloat16"))
    waves = [wave(n, n) for n in (16_000, 12_000)]
    for batched, one in zip(fast.encode(waves), waves, strict=True):
        reference = plain.encode([one])[0]
        assert np.median(cosine(fast.encode([one])[0], reference)) > 0.999
        assert np.median(cosine(batched, reference)) > 0.999


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"content\.layer = 4.*0 to 3"):
        Encoder(model("hubert-base"), 4, place("cpu", "float32"))


def test_another_kind_of_model_and_a_broken_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="bert"):
        Encoder.load(tmp_path, -1, place("cpu", "float32"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelMissing, match=str(tmp_path)):
        Encoder.load(tmp_path, -1, place("cpu", "float32"))
    model("hubert-base").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelMissing, match=str(tmp_path)):
        Encoder.load(tmp_path, -1, place("cpu", "float32"))


def test_what_is_not_finite_in_bfloat16_comes_from_float32(tmp_path: Path) -> None:
    made = model("hubert-base")
    with torch.no_grad():  # 3.4e38 is inf in bfloat16, and the unit it weighs is always 0
        block = made.encoder.layers[1].feed_forward
        block.intermediate_dense.weight[5] = 0
        block.intermediate_dense.bias[5] = 0
        block.output_dense.weight[:, 5] = 3.4e38
    made.save_pretrained(tmp_path)
    x = wave(16_000)
    assert np.isnan(Encoder.load(tmp_path, -1, place("cpu", "bfloat16")).encode([x])[0]).any()
    settings = content.Settings(engine="encoder", model=str(tmp_path), device="cpu", precision="bfloat16")
    (actual,) = content._Engine(settings).encode([x])
    np.testing.assert_array_equal(actual, Encoder.load(tmp_path, -1, place("cpu", "float32")).encode([x])[0])


def test_the_level_is_normalised_where_the_model_expects_it(tmp_path: Path) -> None:
    for kind, expected in (("hubert-base", False), ("hubert-large", True)):
        folder = tmp_path / kind
        model(kind).save_pretrained(folder)
        assert not wants_normalised(folder)
        (folder / "preprocessor_config.json").write_text('{"do_normalize": true}')
        assert wants_normalised(folder) is expected
    loud = Encoder(model("hubert-large"), -1, place("cpu", "float32"), normalise=True)
    x = wave(8000)
    np.testing.assert_allclose(loud.encode([x])[0], loud.encode([x * np.float32(0.1)])[0], atol=1e-3)


@given(st.lists(st.integers(400, 240_000), max_size=40), st.integers(0, 960_000))
def test_batches_hold_each_wave_once_within_bounds(lengths: list[int], longest: int) -> None:
    groups = batches(lengths, longest)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        top = max(lengths[i] for i in group)
        assert len(group) == 1 or len(group) * top <= longest
        assert min(lengths[i] for i in group) >= 0.95 * top


def test_mfcc_of_a_wave() -> None:
    import librosa

    x = wave(16_000)
    (actual,) = Mfcc().encode([x])
    assert actual.shape == (frames_of(len(x)), 39)
    emphasised = np.append(x[:1], x[1:] - np.float32(0.97) * x[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, FIELD)[::HOP] * np.hamming(FIELD)
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=20, fmax=7600, htk=True, norm=None)
    bands = np.log(np.abs(np.fft.rfft(frames, 512)) ** 2 @ bank.T)
    from scipy.fft import dct

    np.testing.assert_allclose(actual[:, :13], dct(bands, norm="ortho")[:, :13], atol=2e-3)


def test_normalised_cepstra_have_mean_0_and_variance_1_over_what_sounds() -> None:
    x = wave(40_000)
    (actual,) = cepstra("mfcc-cmvn").encode([x])
    assert actual.shape == (frames_of(len(x)), 39)
    assert np.abs(actual).max() < LIMIT
    np.testing.assert_allclose(actual.mean(0), np.zeros(39), atol=1e-4)
    np.testing.assert_allclose(actual.std(0), np.ones(39), atol=1e-4)
    plain = cepstra("mfcc").encode([x])[0]
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(actual[:, :13].T, plain[:, :13].T, strict=True)]
    assert min(agreement) > 0.95
    filtered = np.convolve(x, [0.1, -0.06])[: len(x)].astype(np.float32)  # another microphone
    shift = {
        name: np.abs(cepstra(name).encode([filtered])[0][:, :13] - before[:, :13]).mean() / before[:, :13].std()
        for name, before in (("mfcc", plain), ("mfcc-cmvn", actual))
    }
    assert shift["mfcc-cmvn"] < 0.1 < 0.3 < shift["mfcc"]


def test_silence_behind_a_reference_leaves_its_normalised_cepstra() -> None:
    x, tail = wave(40_000), np.zeros(9600, np.float32)
    x[-800:] *= np.linspace(1, 0, 800, dtype=np.float32)
    (alone,) = cepstra("mfcc-cmvn").encode([x])
    (padded,) = cepstra("mfcc-cmvn").encode([np.concatenate([x, tail])])
    assert len(padded) == frames_of(len(x) + len(tail))
    change = np.abs(padded[: len(alone) - 5] - alone[:-5])
    assert change.mean() < 0.1
    assert change.max() < 1
    assert np.abs(padded).max() <= LIMIT
    assert np.isfinite(cepstra("mfcc-cmvn").encode([tail])[0]).all()


def test_encoders_by_the_name_that_a_version_records(tmp_path: Path) -> None:
    for settings, name in (
        (content.Settings(engine="mfcc-cmvn"), "mfcc-cmvn"),
        (content.Settings(engine="mfcc"), "mfcc"),
        (content.Settings(engine="encoder", model="a/b"), "a/b"),
        (content.Settings(engine="encoder", model="a/b", layer=2), "a/b#2"),
    ):
        table = f"features/{content.table_name(settings)}-0123abcd"
        assert content_name(settings.model_dump(mode="json"), table) == name
    assert content_name({}, "features/mfcc-5bdeedb8") == "mfcc"
    on_cpu = place("cpu", "float32")
    normalised = [load_encoder(name, "--content", on_cpu).normalise for name in CEPSTRA]  # type: ignore[attr-defined]
    assert normalised == [False, True]
    model("hubert-base").save_pretrained(tmp_path)
    x = wave(8000)
    for layer, name in ((-1, str(tmp_path)), (2, f"{tmp_path}#2")):
        (expected,) = Encoder.load(tmp_path, layer, on_cpu).encode([x])
        np.testing.assert_array_equal(load_encoder(name, "--content", on_cpu).encode([x])[0], expected)


def test_a_voice_normalises_the_level_as_its_corpus_did(tmp_path: Path) -> None:
    model("hubert-large").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": true}')
    x, on_cpu = wave(8000), place("cpu", "float32")
    settings = content.Settings(engine="encoder", model=str(tmp_path), device="cpu", precision="float32", layer=2)
    name = content_name(settings.model_dump(mode="json"), f"features/{content.table_name(settings)}-0123abcd")
    (expected,) = content._Engine(settings).encode([x])
    np.testing.assert_array_equal(load_encoder(name, "--content", on_cpu).encode([x])[0], expected)


def test_differences_are_those_of_torchaudio() -> None:
    from torchaudio.functional import compute_deltas

    x = torch.randn(30, 13)
    torch.testing.assert_close(differences(x), compute_deltas(x.T, 5).T)
    line = torch.arange(20.0)[:, None]
    assert differences(line)[2:-2].eq(1).all()


@pytest.mark.parametrize("engine", ["mfcc", "encoder"])
def test_too_short_a_wave_is_refused(engine: str) -> None:
    made: Any = Mfcc() if engine == "mfcc" else Encoder(model("hubert-base"), -1, place("cpu", "float32"))
    assert made.encode([wave(FIELD)])[0].shape[0] == 1
    with pytest.raises(ValueError, match="at least 400 samples"):
        made.encode([wave(FIELD - 1)])


def test_settings_and_names() -> None:
    assert content.table_name(content.Settings(engine="mfcc")) == "mfcc"
    assert content.table_name(content.Settings(engine="encoder")) == "content"
    for wrong in ({"layer": -2}, {"batch_s": -1}, {"engine": "encoder", "model": " "}):
        with pytest.raises(ValueError, match=f"content.{list(wrong)[-1]}"):
            content.Settings(**wrong)
