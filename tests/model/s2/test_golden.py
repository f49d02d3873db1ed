"""Every golden array of s2: v2 inference, v2 training with its gradients, v2Pro inference."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.golden import FOLDER, fill, inp
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.layers import mask
from voicemill.model.s2.losses import (
    Discriminators,
    GeneratorLosses,
    LossWeights,
    discriminator_loss,
    generator_losses,
    pair,
)
from voicemill.model.s2.synthesizer import Rendering, Synthesizer

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason="../shared/gptsovits is not here; the other tests need nothing of it"
    ),
]
Arrays = dict[str, NDArray[np.float32]]


def arrays(name: str) -> Arrays:
    return dict(np.load(FOLDER / f"{name}.npz"))


def close(actual: Tensor, expected: NDArray[np.float32], atol: float = 1e-4) -> None:
    np.testing.assert_allclose(actual.detach().numpy().reshape(expected.shape), expected, atol=atol, rtol=0)


@pytest.fixture(scope="module")
def v2(real: Callable[[str], Synthesizer]) -> Synthesizer:
    return real("v2")


@pytest.fixture(scope="module")
def gold() -> Arrays:
    return arrays("s2_v2_gold")


@pytest.fixture(scope="module")
def ge(v2: Synthesizer) -> Tensor:
    return v2.reference([inp("s2.refer", (1, 1025, 40)).abs()])


@pytest.fixture(scope="module")
def codes(gold: Arrays) -> Tensor:
    return torch.from_numpy(gold["codes"])[0]


@pytest.fixture(scope="module")
def text(gold: Arrays) -> Tensor:
    return torch.from_numpy(gold["text"])


def test_codes(v2: Synthesizer, gold: Arrays) -> None:
    ssl = inp("s2.ssl", (1, 768, 24))
    close(v2.ssl_proj(ssl), gold["ssl_proj"])
    assert v2.codes(ssl).tolist() == gold["codes"][0].tolist()
    assert v2.codes(inp("s2.ssl_odd", (1, 768, 25))).tolist() == gold["codes_odd"][0].tolist()
    close(v2.quantizer.rows(v2.codes(ssl)), gold["quantized"], 0)


def test_reference(ge: Tensor, gold: Arrays) -> None:
    close(ge, gold["ge"])


def test_inside_of_the_prior(v2: Synthesizer, gold: Arrays, codes: Tensor, text: Tensor, ge: Tensor) -> None:
    encoder = v2.enc_p
    content = v2.quantizer.rows(codes).repeat_interleave(2, -1)
    ones, text_ones = mask(None, content), mask(None, text[:, None].float())
    x = encoder.encoder_ssl(encoder.ssl_proj(content), ones)
    close(x, gold["encp_ssl"])
    phones = encoder.encoder_text(encoder.text_embedding(text).mT, text_ones)
    close(phones, gold["encp_text"])
    x = encoder.mrte(x, ones, phones, text_ones, ge)
    close(x, gold["encp_mrte"])
    close(encoder.encoder2(x, ones), gold["encp_x"])


@pytest.mark.parametrize(("speed", "suffix"), [(1.0, ""), (1.25, "_speed125")])
def test_prior(
    v2: Synthesizer, gold: Arrays, codes: Tensor, text: Tensor, ge: Tensor, speed: float, suffix: str
) -> None:
    mean, logs = v2.prior(codes, text, ge, speed)
    close(mean, gold["m_p" + suffix])
    close(logs, gold["logs_p" + suffix])


def test_posterior_and_flow(v2: Synthesizer, gold: Arrays, ge: Tensor) -> None:
    spec = inp("s2.spec", (1, 1025, 24)).abs()
    ones = mask(None, spec)
    posterior = v2.enc_q(spec, ones, ge, inp("s2.noise_q", (1, 192, 24)))
    close(posterior.mean, gold["m_q"])
    close(posterior.logs, gold["logs_q"])
    close(posterior.z, gold["z_q"])
    close(v2.flow(posterior.z, ones, ge), gold["flow_fwd"], 5e-4)
    close(v2.flow(torch.from_numpy(gold["m_p"]), ones, ge, inverse=True), gold["flow_inv_m_p"], 5e-4)


def test_generator(v2: Synthesizer, gold: Arrays, ge: Tensor) -> None:
    close(v2.dec(inp("s2.dec_z", (1, 192, 8)), ge), gold["dec_out"])


def test_waveforms(v2: Synthesizer, gold: Arrays, codes: Tensor, text: Tensor, ge: Tensor) -> None:
    close(v2.decode(codes, text, ge, noise_scale=0), gold["wav_n0"])
    close(v2.decode(codes, text, ge, noise_scale=0.5, noise=inp("s2.noise_p", (1, 192, 24))), gold["wav_n05"])
    close(v2.decode(codes, text, ge, noise_scale=0, speed=1.25), gold["wav_n0_speed125"])
    both = v2.reference([inp("s2.refer", (1, 1025, 40)).abs(), inp("s2.refer2", (1, 1025, 30)).abs()])
    close(v2.decode(codes, text, both, noise_scale=0), gold["wav_n0_2refs"])


def test_v2pro(real: Callable[[str], Synthesizer]) -> None:
    model, gold = real("v2Pro"), arrays("s2_v2Pro_gold")
    ge = model.reference([inp("pro.refer", (1, 1025, 40)).abs()], [inp("pro.sv", (1, 20480))])
    close(ge, gold["ge"])
    close(model._voice_of_text(ge), gold["ge512"])
    codes, text = torch.from_numpy(gold["codes"])[0], torch.from_numpy(gold["text"])
    close(model.decode(codes, text, ge, noise_scale=0), gold["wav_n0"])


class Step:
    """One training step of v2 in eval mode, with everything that its golden arrays cover."""

    def __init__(self) -> None:
        self.gold = arrays("s2_v2_train_gold")
        config = S2Config(masked_reference=False)
        self.model, self.judges = Synthesizer(config).eval(), Discriminators(config).eval()
        self.model.load_state_dict(fill(self.model.state_dict()))
        self.judges.load_state_dict(fill(self.judges.state_dict(), "D."))
        self.mel = LogMel()
        ssl, wave = inp("tr.ssl", (2, 768, 44)), inp("tr.wav", (2, 1, 28160), 0.1)[:, 0]
        ssl[1, :, 38:], wave[1, 38 * 640 :] = 0, 0
        lengths, text, text_lengths = (torch.from_numpy(self.gold[key]) for key in ("lens", "text", "text_lens"))
        spectrogram = torch.zeros(2, 1025, 44)
        for row, n in enumerate(lengths.tolist()):
            spectrogram[row, :, :n] = self.mel.spectrogram(wave[row : row + 1, : n * 640])[0]
        self.rendering: Rendering = self.model(
            ssl,
            spectrogram,
            lengths,
            text,
            text_lengths,
            noise=inp("tr.noise_q", (2, 192, 44)),
            uniform=torch.from_numpy(self.gold["u_slice"]),
        )
        self.pair = pair(self.rendering, wave, spectrogram, self.mel)
        self.verdicts = self.judges(self.pair.real), self.judges(self.pair.fake.detach())
        self.discriminator_loss = discriminator_loss(*self.verdicts)
        self.discriminator_loss.backward()
        self.norms = {key: weight.grad.norm().item() for key, weight in self.judges.named_parameters()}
        self.losses: GeneratorLosses = generator_losses(
            self.rendering, self.pair, self.judges(self.pair.real), self.judges(self.pair.fake)
        )
        self.losses.total(LossWeights()).backward()


@pytest.fixture(scope="module")
def step() -> Step:
    return Step()


def test_rendering(step: Step) -> None:
    gold, rendering = step.gold, step.rendering
    assert rendering.starts.tolist() == gold["ids_slice"].tolist()
    close(rendering.prior.mean, gold["m_p"])
    close(rendering.prior.logs, gold["logs_p"])
    close(rendering.posterior.mean, gold["m_q"])
    close(rendering.posterior.logs, gold["logs_q"])
    close(rendering.z_prior, gold["z_p"], 5e-4)
    close(rendering.wave, gold["y_hat"])
    close(step.pair.real_mel, gold["y_mel"])
    close(step.pair.fake_mel, gold["y_hat_mel"])


def test_verdicts(step: Step) -> None:
    for side, verdicts in zip(("real", "fake"), step.verdicts, strict=True):
        for number, verdict in enumerate(verdicts):
            close(verdict.score, step.gold[f"D_{side}_{number}"])


def test_losses(step: Step) -> None:
    weighted = step.losses.weighted(LossWeights())
    names = {"adversarial": "loss_gen", "features": "loss_fm", "mel": "loss_mel", "kl": "loss_kl"}
    actual = {names[key]: loss.item() for key, loss in weighted.items()}
    actual |= {"loss_disc": step.discriminator_loss.item(), "loss_gen_all": step.losses.total(LossWeights()).item()}
    assert actual == {name: pytest.approx(float(step.gold[name]), rel=1e-4) for name in actual}


def test_gradient_norms(step: Step) -> None:
    expected = json.loads((FOLDER / "s2_v2_train_gradnorms.json").read_text())
    assert step.norms == {key: pytest.approx(value, rel=1e-3) for key, value in expected["disc"].items()}
    for part, figures in expected["gen"].items():
        slopes = [weight.grad for weight in step.model.get_submodule(part).parameters()]
        known = [slope for slope in slopes if slope is not None]
        assert (len(known), len(slopes) - len(known)) == (figures["n_with_grad"], figures["n_grad_None"])
        total = sum(slope.square().sum().item() for slope in known) ** 0.5
        assert total == pytest.approx(figures["grad_l2"], rel=1e-3), part
