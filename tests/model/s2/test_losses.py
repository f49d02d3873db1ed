"""Losses by hand on small numbers, and one real training step of a small synthesizer."""

import pytest
import torch
from support.golden import fill, inp
from support.tiny_voice import TRAINED_S2
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.s2.encoders import Prior
from voicemill.model.s2.latent import Posterior
from voicemill.model.s2.losses import (
    Discrimination,
    Discriminators,
    GeneratorLosses,
    LossWeights,
    Pair,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    generator_losses,
    kl_loss,
    pair,
)
from voicemill.model.s2.synthesizer import Rendering, Synthesizer, pieces


def verdict(score: list[float], feature: list[float]) -> Discrimination:
    return Discrimination(torch.tensor([score]), [torch.tensor([feature])])


def test_least_squares() -> None:
    real, fake = [verdict([1.0, 0.0], [0.0])], [verdict([0.5, 0.5], [0.0])]
    assert discriminator_loss(real, fake).item() == pytest.approx(0.5 + 0.25)
    assert adversarial_loss(fake * 3).item() == pytest.approx(0.75)


def test_features() -> None:
    real, fake = [verdict([0.0], [1.0, 2.0])], [verdict([0.0], [1.5, 4.0])]
    assert feature_loss(real * 2, fake * 2).item() == pytest.approx(2.5)


def rendering(z: float, mean: float, logs: float, posterior_logs: float) -> Rendering:
    def full(value: float) -> Tensor:
        return torch.full((1, 2, 3), value)

    frames = torch.tensor([[[1.0, 1.0, 0.0]]])
    posterior = Posterior(full(0.0), full(0.0), full(posterior_logs))
    return Rendering(
        wave=torch.zeros(1, 1),
        starts=torch.zeros(1).long(),
        posterior=posterior,
        prior=Prior(full(mean), full(logs)),
        z_prior=full(z),
        mask=frames,
    )


def test_divergence() -> None:
    assert kl_loss(rendering(2.0, 1.0, 0.0, 0.0)).item() == pytest.approx(2 * (-0.5 + 0.5))
    assert kl_loss(rendering(3.0, 1.0, 0.0, -1.0)).item() == pytest.approx(2 * (1 - 0.5 + 2))


def test_weights_have_the_names_of_the_terms() -> None:
    losses = GeneratorLosses(*(torch.tensor(float(value)) for value in (1, 2, 3, 4)))
    assert {key: value.item() for key, value in losses.weighted(LossWeights()).items()} == {
        "adversarial": 1.0,
        "features": 4.0,
        "mel": 135.0,
        "kl": 4.0,
    }
    assert losses.total(LossWeights()).item() == 144


def test_pieces() -> None:
    x = torch.arange(20.0).reshape(2, 1, 10)
    assert pieces(x, torch.tensor([0, 7]), 3).tolist() == [[[0, 1, 2]], [[17, 18, 19]]]


def test_a_training_step() -> None:
    """Each side steps once; on the same draws both losses are then lower, and all but the frozen codebook moved."""
    torch.manual_seed(0)
    model, judges, mel = Synthesizer(TRAINED_S2).train(), Discriminators(TRAINED_S2).train(), LogMel()
    model.load_state_dict(fill(model.state_dict()))
    lengths, phone_lengths = torch.tensor([12, 9]), torch.tensor([5, 3])
    wave = inp("wave", (2, 12 * 640), 0.1)
    wave[1, 9 * 640 :] = 0
    spectrogram = mel.spectrogram(wave)
    ssl, phones = inp("ssl", (2, TRAINED_S2.ssl_dim, 13)), torch.randint(0, 20, (2, 5))
    noise, uniform = inp("noise", (2, TRAINED_S2.hidden, 12)), torch.tensor([0.99, 0.99])

    def rendered() -> tuple[Rendering, Pair]:
        out = model(ssl, spectrogram, lengths, phones, phone_lengths, noise=noise, uniform=uniform)
        return out, pair(out, wave, spectrogram, mel)

    def judged(both: Pair) -> Tensor:
        return discriminator_loss(judges(both.real), judges(both.fake.detach()))

    def step(side: torch.nn.Module, loss: Tensor) -> None:
        side.zero_grad()
        loss.backward()
        torch.optim.AdamW(side.parameters(), 1e-5).step()

    out, both = rendered()
    assert out.wave.shape == (2, TRAINED_S2.segment * 640)
    assert out.starts.tolist() == [6, 3]
    first = judged(both)
    step(judges, first)
    assert judged(both).item() < first.item()

    before = {key: value.clone() for key, value in model.state_dict().items()}
    losses = generator_losses(out, both, judges(both.real), judges(both.fake)).total(LossWeights())
    step(model, losses)
    out, both = rendered()
    assert generator_losses(out, both, judges(both.real), judges(both.fake)).total(LossWeights()) < losses
    still = {key for key, value in model.state_dict().items() if torch.equal(value, before[key])}
    assert {key.split(".")[0] for key in still} == {"ssl_proj", "quantizer"}
    assert {key for key, weight in model.named_parameters() if weight.grad is None} == {
        "ssl_proj.weight",
        "ssl_proj.bias",
    }
