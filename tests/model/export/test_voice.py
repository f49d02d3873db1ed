"""A voice as graphs gives the speech of the same voice under torch; a damaged folder is refused by name."""

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_voice import SPEAKING_S1, SPEAKING_S2, write_s1, write_s2

from voicemill.model.audio.mel import LogMel
from voicemill.model.embedded import WHISPER
from voicemill.model.export.exporting import cache_root, cached_export, export_voice
from voicemill.model.export.folder import MANIFEST, read_folder
from voicemill.model.onnx_graph import OPERATORS
from voicemill.model.s1.generate import Sampling
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Voice
from voicemill.model.voices.graphs import load_onnx_voice
from voicemill.model.voices.opening import open_voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import CheckpointError, ConfigError
from voicemill.storage.units import RATE

TEXT = "It rains."
OPTIONS = SpeakOptions(language="en", seed=4, sampling=Sampling(top_k=5), max_codes=30, watermark=None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("weights")
    return {"s1": write_s1(root / "s1.safetensors"), "s2": write_s2(root / "s2.safetensors")}


@pytest.fixture(scope="module")
def folder(weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_voice(weights, tmp_path_factory.mktemp("graphs") / "onnx").path


@pytest.fixture(scope="module")
def recording() -> Wave:
    rng = np.random.default_rng(0)
    return (0.1 * np.sin(np.arange(4 * RATE) * 0.03) + rng.normal(0, 0.01, 4 * RATE)).astype(np.float32)


def test_the_same_seed_gives_the_same_speech_with_graphs(
    weights: dict[str, Path], folder: Path, recording: Wave
) -> None:
    said = []
    for voice in (open_voice(weights, precision="float32"), open_voice({"onnx": folder})):
        like = voice.reference([recording], "What it says there.", "en")
        said.append((like, voice.speak(TEXT, like, OPTIONS)))
    (like, expected), (heard, actual) = said
    torch.testing.assert_close(heard.ge, like.ge, atol=1e-5, rtol=0)
    assert torch.equal(heard.codes, like.codes)
    assert actual.pieces == expected.pieces
    np.testing.assert_allclose(actual.wave, expected.wave, atol=1e-4)


def test_the_stream_is_the_whole_and_one_seed_is_one_speech(folder: Path, recording: Wave) -> None:
    voice = load_onnx_voice(folder)
    like = voice.reference([recording], "What it says there.", "en")
    whole = voice.speak(TEXT, like, OPTIONS)
    np.testing.assert_allclose(np.concatenate(list(voice.stream(TEXT, like, OPTIONS))), whole.wave, atol=1e-4)
    assert np.array_equal(voice.speak(TEXT, like, OPTIONS).wave, whole.wave)
    other = voice.speak(TEXT, like, replace(OPTIONS, seed=5))
    assert len(other.wave) != len(whole.wave) or np.abs(other.wave - whole.wave).max() > 1e-3


def test_rows_of_different_lengths_are_rendered_as_by_torch(weights: dict[str, Path], folder: Path) -> None:
    graphs, plain = load_onnx_voice(folder).s2, open_voice(weights, precision="float32")
    assert isinstance(plain, Voice)
    z, ge, lengths = torch.randn(2, SPEAKING_S2.hidden, 20), torch.randn(1, SPEAKING_S2.style, 1), torch.tensor([20, 8])
    with torch.inference_mode():
        expected = plain.s2.waveform(z, ge, lengths)  # type: ignore[call-arg]  # the module takes lengths too
        torch.testing.assert_close(graphs.waveform(z, ge, lengths), expected, atol=1e-4, rtol=0)  # type: ignore[call-arg]


def test_no_graph_draws_and_the_operators_are_stated(folder: Path) -> None:
    for path in folder.glob("*.onnx"):
        content = path.read_bytes()
        assert b"Random" not in content
        assert b"Multinomial" not in content
    assert read_folder(folder).manifest.operators[""] == OPERATORS == 17
    assert {path.stem for path in folder.glob("*.onnx")} == {
        *("s1_first", "s1_next"),
        *("s2_reference", "s2_codes", "s2_prior", "s2_flow", "s2_generator"),
    }


def test_the_spectrogram_is_that_of_the_system(folder: Path, recording: Wave) -> None:
    """No graph has a mel of its own: a silent recording gets the floor that training had."""
    quiet = recording.copy()
    quiet[RATE:] *= 1e-6
    voice = load_onnx_voice(folder)
    spectrogram = LogMel().spectrogram(torch.from_numpy(quiet)[None])
    assert spectrogram[..., -1].min() == pytest.approx(1e-4, rel=0.01)  # sqrt(1e-8)
    assert torch.equal(voice.reference([quiet]).ge, voice.s2.reference([spectrogram]))


def test_a_compressed_voice_is_near_the_whole_one(
    weights: dict[str, Path], folder: Path, tmp_path: Path, recording: Wave
) -> None:
    sizes = {"float32": read_folder(folder).bytes}
    exact = load_onnx_voice(folder)
    ge = exact.reference([recording]).ge
    codes, phones = torch.randint(SPEAKING_S1.codes, (1, 30)), torch.randint(700, (1, 20))
    expected = exact.s2.waveform(exact.s2.prior(codes, phones, ge).mean, ge)
    for precision in ("float16", "int8"):
        made = export_voice(weights, tmp_path / precision, precision)
        sizes[precision] = made.bytes
        near = load_onnx_voice(made)
        actual = near.s2.waveform(near.s2.prior(codes, phones, near.reference([recording]).ge).mean, ge)
        mel = LogMel()
        assert float((mel.mel(actual) - mel.mel(expected)).abs().mean()) < 0.02
    assert sizes["float32"] > 1.7 * sizes["float16"] > 1.7 * sizes["int8"]


def test_a_voice_is_exported_once(weights: dict[str, Path], tmp_path: Path) -> None:
    first, fresh = cached_export(weights, root=tmp_path)
    again, anew = cached_export(weights, root=tmp_path)
    other, _ = cached_export(weights, "float16", root=tmp_path)
    assert (fresh, anew) == (True, False)
    assert first.path == again.path != other.path
    (first.path / MANIFEST).write_text("{")
    mended, anew = cached_export(weights, root=tmp_path)
    assert (mended.path, anew) == (first.path, True)
    assert read_folder(first.path).manifest == mended.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({first.path.name, other.path.name})


def test_graphs_of_an_entry_stay_with_its_voice(weights: dict[str, Path], tmp_path: Path) -> None:
    entry = tmp_path / "anna" / "0001"
    entry.mkdir(parents=True)
    (entry / "card.json").write_text("{}")
    there = {stem: Path(shutil.copy(path, entry / Path(path).name)) for stem, path in weights.items()}
    assert cache_root(there) == tmp_path / "anna" / "graphs" / "0001"
    assert cache_root(weights) != cache_root(there)


def _without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _without_file(folder: Path) -> None:
    (folder / "s2_flow.onnx").unlink()


def _with_a_changed_bit(folder: Path) -> None:
    content = bytearray((folder / "s1.bin").read_bytes())
    content[1000] ^= 1
    (folder / "s1.bin").write_bytes(content)


def _of_a_later_format(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text()) | {"format": 99, "new": 1}
    (folder / MANIFEST).write_text(json.dumps(raw))


def _half_a_manifest(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text[: len(text) // 2])


def _that_reaches_outside(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    raw["files"]["../s1.safetensors"] = {"sha256": "", "bytes": 0}
    (folder / MANIFEST).write_text(json.dumps(raw))


def _of_an_unknown_precision(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text()) | {"precision": "int3"}
    (folder / MANIFEST).write_text(json.dumps(raw))


def _of_no_voice(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text()) | {"voice": ["full"]}
    (folder / MANIFEST).write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_without_manifest, "is not a folder of graphs"),
        (_without_file, "s2_flow.onnx is missing"),
        (_with_a_changed_bit, "s1.bin is damaged"),
        (_of_a_later_format, "format 99, this voicemill reads 1"),
        (_half_a_manifest, "manifest.json is damaged"),
        (_that_reaches_outside, "not a plain name"),
        (_of_an_unknown_precision, "precision is 'int3', not float32, float16, int8"),
        (_of_no_voice, "voice is .*, not full or light"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_damaged_folders_are_refused(folder: Path, tmp_path: Path, harm: object, words: str) -> None:
    shutil.copytree(folder, tmp_path / "harmed")
    assert callable(harm)
    harm(tmp_path / "harmed")
    with pytest.raises(CheckpointError, match=words):
        read_folder(tmp_path / "harmed")


def test_sizes_that_are_not_those_of_the_graphs_are_refused(folder: Path, tmp_path: Path, recording: Wave) -> None:
    def told(**sizes: int) -> Path:
        to = shutil.copytree(folder, tmp_path / "-".join(sizes))
        raw = json.loads((to / MANIFEST).read_text())
        raw["sizes"]["s2"] |= sizes
        (to / MANIFEST).write_text(json.dumps(raw))
        return to

    with pytest.raises(ConfigError, match="s2 has 100 phones"):
        load_onnx_voice(told(phones=100))
    voice = load_onnx_voice(told(hidden=64))
    with pytest.raises(CheckpointError, match=r"s2_flow.onnx: ONNX Runtime cannot compute this graph"):
        voice.s2.waveform(torch.zeros(1, 64, 8), voice.reference([recording]).ge)


@pytest.mark.slow
@pytest.mark.parametrize(("content", "dims"), [("whisper-3-cmvn", 384), ("mfcc-cmvn", 39)])
def test_a_voice_reads_references_with_the_content_it_was_trained_on(
    content: str, dims: int, tmp_path: Path, recording: Wave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also as graphs, and these where the embedded model is not installed."""
    weights = {"s1": write_s1(tmp_path / "s1.safetensors")}
    weights["s2"] = write_s2(tmp_path / "s2.safetensors", replace(SPEAKING_S2, ssl_dim=dims), {"content": content})
    plain = open_voice(weights, precision="float32")
    folder = export_voice(weights, tmp_path / "onnx")
    assert (folder.has("content_features.onnx"), folder.manifest.content) == (dims == 384, content)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: find_spec(name) if name != WHISPER.package else None)
    assert not WHISPER.is_installed
    graphs = load_onnx_voice(folder)
    codes = [voice.reference([recording], "It rains.", "en").codes for voice in (plain, graphs)]
    assert len(codes[0]) == round((4 + 0.6) * 25) - 1
    assert (codes[0] == codes[1]).float().mean() > 0.98


def test_weights_not_used_for_speech_change_no_graphs(weights: dict[str, Path], tmp_path: Path) -> None:
    first, _ = cached_export(weights, content="mfcc", root=tmp_path)
    again, anew = cached_export(weights | {"s2_discriminator": weights["s2"]}, root=tmp_path)
    assert (again.path, anew) == (first.path, False)


def test_an_export_that_fails_leaves_nothing(weights: dict[str, Path], tmp_path: Path) -> None:
    stranger = write_s1(tmp_path / "s1.safetensors", replace(SPEAKING_S1, codes=32))
    for given, precision, words in (
        ({"s1": stranger, "s2": weights["s2"]}, "float32", "predicts 32 codes"),
        ({"s1": weights["s1"]}, "float32", "no weights of s2"),
        (weights, "int3", "expected float32, float16, int8"),
    ):
        with pytest.raises(ConfigError, match=words):
            export_voice(given, tmp_path / "onnx", precision)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["s1.safetensors"]


def test_contradictions_are_named(weights: dict[str, Path], folder: Path) -> None:
    for given, options, words in (
        ({"onnx": folder}, {"engine": "torch"}, "this voice is a folder of graphs"),
        ({"onnx": folder}, {"precision": "int8"}, "are in float32"),
        ({"onnx": folder}, {"content": "some/hubert"}, "leave --content out"),
        ({"onnx": folder}, {"device": "cuda"}, "graphs run on the CPU"),
        (weights, {"engine": "onnx", "precision": "bfloat16"}, "expected float32, float16, int8"),
        (weights, {"engine": "tensorrt"}, "expected auto, torch, onnx"),
    ):
        with pytest.raises(ConfigError, match=words):
            open_voice(given, **options)  # type: ignore[arg-type]
