"""The graphs of the light system speak as its modules do."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_graphs import LOOSE, relative_error, session

from voicemill.model.checkpoints.writing import write
from voicemill.model.export import light, s2
from voicemill.model.export.draft import Precision
from voicemill.model.export.exporting import export_voice
from voicemill.model.export.light_voice import OnnxLightVoice
from voicemill.model.light.config import AcousticConfig, EcapaConfig, VocoderConfig
from voicemill.model.light.system import PARTS, LightSystem
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.voices.opening import open_voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

LENGTHS = (10, 20, 30)


@pytest.fixture(scope="module")
def system() -> LightSystem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        actual = LightSystem(
            EcapaConfig(channels=32, bottleneck=16, embedding=24),
            AcousticConfig(width=32, units=48, embedding=24),
            VocoderConfig(upsample_channels=32),
            PARTS,
        )
        with torch.no_grad():  # an untrained last layer says next to nothing
            actual.acoustic.leave.weight.normal_(0, 0.3)
    return actual.eval()


@pytest.fixture(scope="module", params=LOOSE)
def precision(request: pytest.FixtureRequest) -> Precision:
    actual: Precision = request.param
    return actual


@torch.inference_mode()
def test_networks(system: LightSystem, tmp_path: Path, precision: Precision) -> None:
    torch.manual_seed(1)  # a recording of 0.2 s that an untrained encoder hears can be off by more in float16
    tight, acoustic = LOOSE[precision], system.acoustic
    speaker = session(tmp_path / "speaker", partial(light.speaker, encoder=system.speaker), precision)
    encode = session(tmp_path / "encode", partial(light.encode, acoustic=acoustic), precision)
    decode = session(tmp_path / "decode", partial(light.decode, acoustic=acoustic), precision)
    vocoder = session(tmp_path / "vocoder", partial(s2.generator, dec=system.vocoder), precision)
    for rows, length in zip((1, 2, 3), LENGTHS, strict=True):
        mel = torch.randn(rows, 128, length) * 2 - 5
        cosine = (torch.from_numpy(speaker(mel=mel)[0]) * system.speaker.embed(mel)).sum(-1)
        assert float(1 - cosine.min()) < tight / 10
        assert relative_error(vocoder(z=mel)[0], system.vocoder(mel)[:, 0]) < tight
        phones, voice = torch.randint(700, (rows, length)), torch.randn(rows, 24)
        expected = acoustic.encode(phones, voice, torch.ones(rows, 1, length))
        for actual, wanted in zip(encode(phones=phones, voice=voice),
                                 (expected.states, expected.means, expected.log_durations), strict=True):  # fmt: skip
            assert relative_error(actual, wanted) < tight
        into = torch.rand(rows, length)
        state = torch.randn(2, 2, rows, 48).tanh()
        said, after = acoustic.decode(expected.states, expected.means, into, (state[0], state[1]))
        actual = decode(states=expected.states, means=expected.means, into=into, hidden=state[0], cell=state[1])
        for one, wanted in zip(actual, (said * 2.5 - 5, *after), strict=True):
            assert relative_error(one, wanted) < tight


def test_a_light_voice_as_graphs_speaks_the_same(system: LightSystem, tmp_path: Path) -> None:
    write(tmp_path / "light.safetensors", system.checkpoint())
    rng = np.random.default_rng(0)
    recording: Wave = rng.normal(0, 0.1, 4 * RATE).astype(np.float32)
    weights = {"light": tmp_path / "light.safetensors"}
    folder = export_voice(weights, tmp_path / "onnx")
    options = SpeakOptions(language="en", watermark=None)
    waves = []
    for voice in (open_voice(weights, precision="float32"), open_voice({"onnx": folder.path})):
        speech = voice.speak("It rains.", voice.reference([recording]), options)
        waves.append(speech.wave)
    assert isinstance(voice, OnnxLightVoice)
    np.testing.assert_allclose(waves[1], waves[0], atol=1e-4)
    streamed = np.concatenate(list(voice.stream("It rains.", voice.reference([recording]), options)))
    np.testing.assert_allclose(streamed, waves[1], atol=1e-4)


def test_linear_layers_and_lstms_take_a_quarter_in_8_bits(system: LightSystem, tmp_path: Path) -> None:
    wide = LightSystem(None, AcousticConfig(), None, PARTS)
    sizes = {}
    for precision in ("float32", "int8"):
        session(tmp_path / precision, partial(light.decode, acoustic=wide.acoustic), precision)  # type: ignore[arg-type]
        sizes[precision] = sum(file.stat().st_size for file in (tmp_path / precision).rglob("net*"))
    assert sizes["float32"] / sizes["int8"] > 3.5
