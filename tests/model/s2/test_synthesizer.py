"""A small synthesizer: a batch is its rows, a stream is the whole, the flow has an inverse; what is refused."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.golden import fill, inp
from torch import Tensor

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.generator import context
from voicemill.model.s2.layers import mask
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.s2.weight_norm import fold
from voicemill.storage.errors import ConfigError

CODES, PHONES = torch.tensor([9, 4, 7]), torch.tensor([5, 8, 2])


def voice(model: Synthesizer, batch: int = 1) -> Tensor:
    return inp("voice", (batch, model.config.style, 1))


def latent(model: Synthesizer, frames: int = 60) -> Tensor:
    return inp("latent", (1, model.config.hidden, frames))


def sentences(model: Synthesizer) -> tuple[Tensor, Tensor]:
    """Codes and phones of three sentences, padded with entries that must not change the output."""
    torch.manual_seed(0)
    return torch.randint(0, model.config.codebook, (3, 9)), torch.randint(0, model.config.phones, (3, 8))


@pytest.mark.parametrize("speed", [1.0, 1.3, 0.7])
def test_a_batch_is_its_rows(small: Synthesizer, speed: float) -> None:
    codes, phones = sentences(small)
    ge = voice(small, 3)
    total = small.frames(CODES, speed)
    noise = inp("noise", (3, small.config.hidden, int(total.max())))
    waves = small.decode(codes, phones, ge, speed=speed, noise=noise, code_lengths=CODES, phone_lengths=PHONES)
    for row, wave in enumerate(waves):
        n = int(total[row])
        alone = small.decode(
            codes[row : row + 1, : CODES[row]],
            phones[row : row + 1, : PHONES[row]],
            ge[row : row + 1],
            speed=speed,
            noise=noise[row : row + 1, :, :n],
        )[0]
        assert alone.shape == (n * small.config.hop,)
        assert alone.std() > 0.01
        torch.testing.assert_close(wave[: len(alone)], alone, atol=1e-5, rtol=0)
        assert wave[len(alone) :].eq(0).all()


def test_voices_of_a_padded_batch(small: Synthesizer) -> None:
    spectrogram, lengths = inp("spec", (2, small.config.spectrum_bins, 12)).abs(), torch.tensor([12, 7])
    both = small.voices(spectrogram, lengths)
    alone = small.reference([spectrogram[1, :, :7]])
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)
    other = Synthesizer(replace(small.config, masked_reference=False)).eval()
    other.load_state_dict(small.state_dict())
    assert (other.voices(spectrogram, lengths)[1:] - alone).abs().max() > 1e-4


def test_references_are_averaged(small: Synthesizer) -> None:
    first, second = inp("a", (33, 12)).abs(), inp("b", (1, 33, 9)).abs()
    mean = (small.reference([first]) + small.reference([second])) / 2
    torch.testing.assert_close(small.reference([first, second]), mean, atol=1e-6, rtol=0)
    assert (small.reference([first]) - mean).abs().max() > 1e-3


@settings(max_examples=10)
@given(size=st.integers(3, 70))
def test_a_stream_is_the_whole(small: Synthesizer, size: int) -> None:
    z, ge = latent(small), voice(small)
    parts = list(small.stream(z, ge, size))
    assert {part.shape[1] for part in parts[:-1]} <= {size * small.config.hop}
    torch.testing.assert_close(torch.cat(parts, 1), small.waveform(z, ge), atol=1e-5, rtol=0)


def test_the_reach_of_generator_and_flow_is_exact(small: Synthesizer) -> None:
    """By the gradient of one frame: in float64 even the faintest path shows, and outside the reach it is exactly 0."""
    model = copy.deepcopy(small).double()
    z, ge, hop, middle = latent(small).double().requires_grad_(), voice(small).double(), small.config.hop, 30
    wave = model.dec(z, ge)[0, 0, middle * hop : (middle + 1) * hop]
    moved = model.flow(z, mask(None, z), ge, inverse=True)[0, :, middle]
    for outcome, reach in ((wave, context(small.config)), (moved, small.flow.context)):
        (slope,) = torch.autograd.grad(outcome.square().sum(), z)
        touched = slope[0].abs().amax(0).nonzero()[:, 0]
        assert max(middle - touched.min(), touched.max() - middle) == reach


def test_margins_of_v2() -> None:
    with torch.device("meta"):
        assert [Synthesizer(S2Config.of(v)).flow.context for v in ("v2", "v2ProPlus")] == [32, 32]
    assert [context(S2Config.of(v)) for v in ("v2", "v2ProPlus")] == [11, 11]


def test_the_flow_has_an_inverse(small: Synthesizer) -> None:
    z, ge = latent(small, 20), voice(small)
    frames = mask(torch.tensor([15]), z)
    there = small.flow(z * frames, frames, ge)
    assert (there - z * frames).abs().max() > 0.1
    torch.testing.assert_close(small.flow(there, frames, ge, inverse=True), z * frames, atol=1e-5, rtol=0)


def test_folded_weights_say_the_same(small: Synthesizer) -> None:
    other = Synthesizer(small.config).eval()
    other.load_state_dict(small.state_dict())
    fold(other)
    assert not [key for key in other.state_dict() if key.endswith(("weight_g", "weight_v"))]
    z, ge = latent(small), voice(small)
    torch.testing.assert_close(other.waveform(z, ge), small.waveform(z, ge), atol=1e-5, rtol=0)
    fresh = Synthesizer(small.config).eval()
    fresh.load_state_dict(other.state_dict())
    torch.testing.assert_close(fresh.waveform(z, ge), small.waveform(z, ge), atol=1e-5, rtol=0)


def test_codes_are_the_nearest_entries(small: Synthesizer) -> None:
    ssl = inp("ssl", (2, small.config.ssl_dim, 11))
    codes = small.codes(ssl)
    assert codes.shape == (2, 5)
    distances = torch.cdist(small.ssl_proj(ssl).mT, small.quantizer.embed[None])
    assert torch.equal(codes, distances.argmin(-1))
    assert len(set(codes.flatten().tolist())) > 3


def test_noise_follows_its_generator(small: Synthesizer) -> None:
    mean, logs = inp("m", (1, 8, 5)), inp("l", (1, 8, 5), 0.3)
    draws = [small.latent(mean, logs, 0.5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(small.latent(mean, logs, 0), mean)
    noise = inp("n", (1, 8, 5))
    torch.testing.assert_close(small.latent(mean, logs, 2, noise), mean + 2 * noise * logs.exp())


def test_frames_by_speed() -> None:
    assert Synthesizer.frames(torch.tensor([12, 5])).tolist() == [24, 10]
    assert Synthesizer.frames(torch.tensor([12, 5]), 1.25).tolist() == [20, 9]


def test_speaker_embeddings() -> None:
    config = S2Config(
        version="v2Pro", phones=20, ssl_dim=16, codebook=12, hidden=8, filter=12, layers=2, reference_dim=8,
        style=24, speaker_dim=10, mrte_dim=16, posterior_layers=2, flow_layers=2, upsample_channels=32,
    )  # fmt: skip
    model = Synthesizer(config).eval()
    model.load_state_dict(fill(model.state_dict()))
    spectrogram = inp("spec", (1025, 9)).abs()
    one, other = (model.reference([spectrogram], [inp(name, (1, 10))]) for name in ("sv", "sv2"))
    assert one.shape == (1, 24, 1)
    waves = [model.decode(torch.tensor([[1, 2]]), torch.tensor([[3]]), ge, noise_scale=0) for ge in (one, other)]
    assert (waves[0] - waves[1]).abs().max() > 1e-3
    with pytest.raises(ConfigError, match=r"v2Pro needs sv \[batch, 10\]; sv was not given"):
        model.reference([spectrogram])
    with pytest.raises(ConfigError, match="1 references but 2 speaker embeddings"):
        model.reference([spectrogram], [inp("sv", (1, 10))] * 2)


def test_what_is_refused(small: Synthesizer) -> None:
    with pytest.raises(ConfigError, match="has no speaker embedding; sv was given"):
        small.reference([torch.ones(33, 4)], [torch.ones(1, 5)])
    with pytest.raises(ConfigError, match="at least one spectrogram"):
        small.reference([])
    codes, phones = sentences(small)
    for speed in (0.0, -1.0, 5.0, float("nan")):
        with pytest.raises(ConfigError, match=r"expected 0\.25 to 4"):
            small.prior(codes, phones, voice(small, 3), speed)
    with pytest.raises(ConfigError, match="at least 1"):
        list(small.stream(latent(small), voice(small), 0))
