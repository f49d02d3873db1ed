"""The losses of pitch and of voice."""

import math
from collections.abc import Iterator

import pytest
import torch
from support.golden import fill
from support.tiny_voice import TRAINED_S2
from torch import Tensor
from torch.nn.functional import normalize

from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.training.objectives.waveform_losses import PitchLoss, ReferenceVoice, speaker_loss

SAMPLES = 20480


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pitch() -> PitchLoss:
    return PitchLoss()


def tone(hertz: Tensor | float, tilt: float = 1.0, level: float = 0.05) -> Tensor:
    """[1, samples]: 12 harmonics, the nth `tilt` powers of n down."""
    time = torch.arange(SAMPLES) / 32000
    return level * sum(torch.sin(2 * torch.pi * n * hertz * time + n * n) / n**tilt for n in range(1, 13))[None]  # type: ignore[index]


def octaves_off(pitch: PitchLoss, wave: Tensor, hertz: float) -> float:
    return float(pitch(wave, torch.full((1, SAMPLES // 640), hertz)))


@pytest.mark.parametrize("hertz", [80.0, 120.0, 220.0, 400.0, 600.0])
@pytest.mark.parametrize("tilt", [0.5, 2.0])
def test_pitch_that_agrees_costs_least(pitch: PitchLoss, hertz: float, tilt: float) -> None:
    wave = tone(hertz, tilt)
    assert octaves_off(pitch, wave, hertz) < 0.06
    for octaves in (-0.25, -0.1, 0.1, 0.25):
        assert octaves_off(pitch, wave, hertz * 2**octaves) == pytest.approx(abs(octaves), abs=0.04)


@pytest.mark.parametrize("octaves", [-1, 1])
def test_an_octave_is_an_octave(pitch: PitchLoss, octaves: int) -> None:
    assert octaves_off(pitch, tone(240.0), 240 * 2.0**octaves) == pytest.approx(1, abs=0.05)


def test_level_does_not_matter(pitch: PitchLoss) -> None:
    loud, quiet = (octaves_off(pitch, tone(200.0, level=level), 250.0) for level in (0.1, 0.01))
    assert loud == pytest.approx(quiet, abs=0.01)


def test_following_the_gradient_tunes_a_tone(pitch: PitchLoss) -> None:
    """From a major third below to within a quarter tone, by nothing but the loss."""
    height = torch.tensor(160.0).log2().requires_grad_()
    optimiser = torch.optim.Adam([height], 0.03)
    for _ in range(40):
        optimiser.zero_grad()
        pitch(tone(height.exp2()), torch.full((1, 32), 200.0)).sum().backward()
        optimiser.step()
    assert abs(float(height.detach()) - math.log2(200)) < 1 / 24


def test_unvoiced_frames_do_not_count(pitch: PitchLoss) -> None:
    wave, f0 = tone(200.0), torch.full((1, 32), 100.0)
    whole = float(pitch(wave, f0))
    f0[:, 16:] = 0
    assert float(pitch(wave, f0)) == pytest.approx(whole / 2, rel=0.02)
    assert float(pitch(wave, torch.zeros(1, 32))) == 0


@pytest.mark.parametrize("wave", [torch.zeros(1, SAMPLES), torch.ones(1, SAMPLES), 1e-20 * torch.ones(1, SAMPLES)])
def test_silence_is_no_nan(pitch: PitchLoss, wave: Tensor) -> None:
    wave = wave.clone().requires_grad_()
    found = pitch(wave, torch.full((1, 32), 150.0))
    found.sum().backward()
    assert found.isfinite().all()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def test_voices(pitch: PitchLoss) -> None:
    """The same voice is 0 whatever was said before it; another is not; only the rendered side gets a gradient."""
    network = Synthesizer(TRAINED_S2, posterior=False)
    network.load_state_dict(fill(network.state_dict()))
    voice = ReferenceVoice(network.ref_enc)
    network.ref_enc.fc.fc.weight.data.zero_()  # a copy: the network may move on
    real, fake = tone(120.0).requires_grad_(), tone(300.0, 0.1).requires_grad_()
    assert speaker_loss(voice, real, real).item() == pytest.approx(0, abs=1e-6)
    found = speaker_loss(voice, real, fake)
    assert 0 < found.item() <= 2
    found.sum().backward()
    assert real.grad is None
    assert fake.grad is not None
    assert float(fake.grad.abs().sum()) > 0
    assert all(weight.grad is None for weight in voice.parameters())


def test_any_function_of_waves_is_a_speaker_encoder() -> None:
    real, fake = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [-3.0, 0.0]])
    assert speaker_loss(lambda wave: normalize(wave), real, fake).tolist() == [1, 2]
