"""The graphs of s2 compute what the modules compute, at every length, speed and precision."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support.tiny_graphs import LOOSE, relative_error, session
from support.tiny_voice import SPEAKING_S2, tiny_s2
from torch import Tensor

from voicemill.model.export import s2, s2_prior
from voicemill.model.export.draft import Precision
from voicemill.model.export.running import Session
from voicemill.model.s2.generator import Generator
from voicemill.model.s2.layers import mask
from voicemill.model.s2.synthesizer import Synthesizer

LENGTHS = (12, 24, 36)
"""Frames: the length of an example, and up to three times as long."""


@pytest.fixture(scope="module")
def model() -> Synthesizer:
    return tiny_s2(SPEAKING_S2, posterior=False)


@pytest.fixture(scope="module", params=LOOSE)
def precision(request: pytest.FixtureRequest) -> Precision:
    actual: Precision = request.param
    return actual


@pytest.fixture
def tight(precision: Precision) -> float:
    return LOOSE[precision]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_reference(model: Synthesizer, tmp_path: Path, precision: Precision, tight: float) -> None:
    run = session(tmp_path, partial(s2.reference, s2=model), precision)
    for rows, frames in zip((1, 2, 3), LENGTHS, strict=True):
        spectrogram = drawn(rows, 1025, frames).abs()
        assert relative_error(run(spectrogram=spectrogram)[0], model.voices(spectrogram)) < tight


@torch.inference_mode()
def test_the_speaker_embedding_of_v2pro_is_in_the_voice_and_in_the_text(tmp_path: Path) -> None:
    pro = tiny_s2(replace(SPEAKING_S2, speaker_dim=20, style=48), posterior=False)
    spectrogram, sv = drawn(2, 1025, 20).abs(), drawn(2, 20)
    ge = pro.voices(spectrogram, None, sv)
    run = session(tmp_path / "reference", partial(s2.reference, s2=pro))
    assert relative_error(run(spectrogram=spectrogram, sv=sv)[0], ge) < 3e-5
    codes, phones = torch.randint(16, (2, 6)), torch.randint(700, (2, 5))
    actual = said(session(tmp_path / "prior", partial(s2_prior.prior, s2=pro)), codes, phones, ge, 1.0)
    assert relative_error(actual[0], pro.prior(codes, phones, ge).mean) < 3e-5


@torch.inference_mode()
def test_codes_are_the_same_in_every_precision(model: Synthesizer, tmp_path: Path, precision: Precision) -> None:
    run = session(tmp_path, partial(s2.codes, s2=model), precision)
    for frames in (*LENGTHS, 37):
        ssl = drawn(2, SPEAKING_S2.ssl_dim, frames, seed=frames)
        assert torch.equal(torch.from_numpy(run(ssl=ssl)[0]), model.codes(ssl))


def said(
    run: Session,
    codes: Tensor,
    phones: Tensor,
    ge: Tensor,
    speed: float,
    code_lengths: Tensor | None = None,
    phone_lengths: Tensor | None = None,
) -> list[Tensor]:
    lengths = [
        torch.full((len(tokens),), tokens.shape[1]) if given is None else given
        for tokens, given in ((codes, code_lengths), (phones, phone_lengths))
    ]
    given = {"codes": codes, "phones": phones, "code_lengths": lengths[0], "phone_lengths": lengths[1], "ge": ge}
    return [torch.from_numpy(each) for each in run(**given, speed=torch.tensor(speed, dtype=torch.float64))]


@torch.inference_mode()
def test_prior_at_every_length_and_speed(
    model: Synthesizer, tmp_path: Path, precision: Precision, tight: float
) -> None:
    run = session(tmp_path, partial(s2_prior.prior, s2=model), precision)
    ge = drawn(1, SPEAKING_S2.style, 1)
    for length, speed in zip((*LENGTHS, 1, 25), (1.0, 0.7, 1.3, 4.0, 0.25), strict=True):
        codes, phones = torch.randint(16, (1, length)), torch.randint(700, (1, max(1, length // 2)))
        expected = model.prior(codes, phones, ge, speed)
        mean, logs, frames = said(run, codes, phones, ge, speed)
        assert frames.tolist() == [expected.mean.shape[-1]]
        assert relative_error(mean, expected.mean) < tight
        assert relative_error(logs, expected.logs) < tight


@torch.inference_mode()
@pytest.mark.parametrize("speed", [1.0, 0.8, 1.25])
def test_rows_of_a_batch_are_what_they_are_alone(model: Synthesizer, tmp_path: Path, speed: float) -> None:
    run = session(tmp_path, partial(s2_prior.prior, s2=model))
    ge = drawn(3, SPEAKING_S2.style, 1)
    codes, phones = torch.randint(16, (3, 14)), torch.randint(700, (3, 9))
    lengths = torch.tensor([14, 5, 9]), torch.tensor([4, 9, 1])
    mean, _, frames = said(run, codes, phones, ge, speed, *lengths)
    assert (
        relative_error(
            mean, model.prior(codes, phones, ge, speed, code_lengths=lengths[0], phone_lengths=lengths[1]).mean
        )
        < 3e-5
    )
    for row, (count, read) in enumerate(zip(*(each.tolist() for each in lengths), strict=True)):
        alone = model.prior(codes[row : row + 1, :count], phones[row : row + 1, :read], ge[row : row + 1], speed).mean
        assert relative_error(mean[row : row + 1, :, : frames[row]], alone) < 3e-5
        assert not mean[row, :, frames[row] :].any()


@torch.inference_mode()
def test_flow_and_generator(model: Synthesizer, tmp_path: Path, precision: Precision, tight: float) -> None:
    flow = session(tmp_path / "flow", partial(s2.flow, s2=model), precision)
    generator = session(tmp_path / "generator", partial(s2.generator, dec=model.dec), precision)
    for rows, frames in zip((2, 1, 3), LENGTHS, strict=True):
        z, ge = drawn(rows, SPEAKING_S2.hidden, frames), drawn(rows, SPEAKING_S2.style, 1, seed=1)
        lengths = torch.tensor([frames, frames - 5, 1][:rows])
        latent = model.flow(z, mask(lengths, z), ge, inverse=True)
        assert relative_error(flow(z=z, lengths=lengths, ge=ge)[0], latent) < tight
        assert relative_error(generator(z=z, ge=ge)[0], model.dec(z, ge)[:, 0]) < tight
        one = ge[:1]  # a voice for all rows
        assert relative_error(generator(z=z, ge=one)[0], model.dec(z, one)[:, 0]) < tight


@torch.inference_mode()
@pytest.mark.parametrize(
    "changes",
    [
        {"upsample_kernels": (20, 16, 8, 2, 2)},
        {"resblock_kernels": (3,), "resblock_dilations": (1, 3)},
        {"upsample_rates": (8, 8, 10), "upsample_kernels": (16, 16, 20), "upsample_channels": 24},
    ],
)
def test_generators_of_other_sizes(tmp_path: Path, changes: dict[str, object]) -> None:
    config = replace(SPEAKING_S2, **changes)  # type: ignore[arg-type]
    dec = tiny_s2(config, posterior=False).dec
    assert isinstance(dec, Generator)
    z, ge = drawn(1, config.hidden, 9), drawn(1, config.style, 1)
    assert relative_error(session(tmp_path, partial(s2.generator, dec=dec))(z=z, ge=ge)[0], dec(z, ge)[:, 0]) < 3e-5
