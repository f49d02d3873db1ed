"""The vocoder that gives spectra: the inverse transform, its reach, and graphs that speak as its modules do."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_graphs import LOOSE, relative_error, session
from support.tiny_voice import ACOUSTIC, ECAPA

from voicemill.model.checkpoints.writing import write
from voicemill.model.export import light
from voicemill.model.export.draft import Precision
from voicemill.model.light.config import HOP, SpectralConfig
from voicemill.model.light.spectral import SpectralVocoder, reach
from voicemill.model.light.system import PARTS, LightSystem, load_light
from voicemill.model.light.voice import LightVoice
from voicemill.model.speaking.options import SpeakOptions
from voicemill.storage.errors import CheckpointError, ConfigError

SMALL = SpectralConfig(width=32, inner=64, slow_layers=1, layers=2)


def vocoder(config: SpectralConfig = SMALL, seed: int = 0) -> SpectralVocoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpectralVocoder(config).eval()


@pytest.mark.parametrize(("rate", "fft"), [(4, 640), (5, 512), (2, 1280), (8, 640)])
def test_overlapping_windows_add_up_to_one(rate: int, fft: int) -> None:
    """Pieces of ones come out as ones where all windows overlap."""
    network = vocoder(SpectralConfig(width=8, inner=8, layers=1, slow_layers=1, rate=rate, fft=fft))
    pieces = torch.ones(1, 40, fft) * network.window
    wave = network._overlapped(pieces)[0]
    assert len(wave) == 40 * HOP // rate
    assert wave[fft:-fft].numpy() == pytest.approx(1.0, abs=1e-5)


@torch.inference_mode()
def test_a_spectrum_is_placed_at_its_frame() -> None:
    """A tone whose phase every spectrum states at its own time comes out as that tone."""
    network, hertz = vocoder(), 1000.0
    bins, step, fft = SMALL.fft // 2 + 1, SMALL.step, SMALL.fft
    starts = torch.arange(60) * step - (fft - step) // 2
    waves = torch.cos(2 * torch.pi * hertz / 32_000 * (starts[:, None] + torch.arange(fft)))
    spectra = torch.fft.rfft(waves)
    assert spectra.shape[-1] == bins
    wave = network._overlapped((torch.fft.irfft(spectra, n=fft) * network.window)[None])[0]
    expected = torch.cos(2 * torch.pi * hertz / 32_000 * torch.arange(60 * step))
    np.testing.assert_allclose(wave[fft:-fft], expected[fft:-fft], atol=1e-4)


@torch.inference_mode()
def test_a_frame_depends_on_the_frames_in_its_reach_alone() -> None:
    network, mel = vocoder(), torch.randn(1, 128, 61) - 5
    changed = mel.clone()
    changed[:, :, 30] += 3
    different = (network(mel) != network(changed)).reshape(61, HOP).any(1).nonzero()
    side = reach(SMALL)
    assert int(different.min()) >= 30 - side
    assert int(different.max()) <= 30 + side
    assert int(different.max() - different.min()) > side


@torch.inference_mode()
@pytest.mark.parametrize("precision", LOOSE)
def test_the_graph_speaks_as_the_module(tmp_path: Path, precision: Precision) -> None:
    network = vocoder()
    graph = session(tmp_path / "vocoder", partial(light.spectral, vocoder=network), precision)
    for rows, frames in ((1, 10), (2, 27)):
        mel = torch.randn(rows, 128, frames) * 2 - 5
        assert relative_error(graph(z=mel)[0], network(mel)[:, 0]) < LOOSE[precision]


def test_a_system_with_it_is_stored_and_streams(tmp_path: Path) -> None:
    torch.manual_seed(2)
    system = LightSystem(ECAPA, ACOUSTIC, SMALL, PARTS).eval()
    write(tmp_path / "light.safetensors", system.checkpoint())
    read = load_light(tmp_path / "light.safetensors")
    assert read.vocoder.config == SMALL
    voice, options = LightVoice(read), SpeakOptions(watermark=None, chunk_s=0.1)
    like = voice.reference([np.random.default_rng(0).normal(0, 0.1, 4 * 32_000).astype(np.float32)])
    whole = voice.speak("A sentence of some length, spoken twice.", like, options).wave
    chunks = list(voice.stream("A sentence of some length, spoken twice.", like, options))
    assert len(chunks) > 5
    np.testing.assert_allclose(np.concatenate(chunks), whole, atol=1e-5)


def test_sizes_that_contradict_each_other() -> None:
    for wrong in ({"rate": 3}, {"fft": 320}, {"fft": 700}, {"kernel": 4}):
        with pytest.raises(ConfigError, match="light vocoder"):
            SpectralConfig(**wrong)  # type: ignore[arg-type]


def test_an_unknown_network_is_refused() -> None:
    checkpoint = LightSystem(ECAPA, ACOUSTIC, SMALL, PARTS).checkpoint()
    checkpoint.config["vocoder"]["network"] = "wavenet"
    with pytest.raises(CheckpointError, match="vocoder is 'wavenet'"):
        load_light(checkpoint)
