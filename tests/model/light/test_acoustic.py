"""The acoustic model: rows of a batch, durations, parts of a piece, and that it learns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voicemill.model.light.acoustic import LONGEST, Acoustic, spoken_durations, standardise
from voicemill.model.light.alignment import progress, regulate
from voicemill.model.light.config import AcousticConfig
from voicemill.model.light.system import LightSystem
from voicemill.storage.errors import ConfigError


def spoken_corpus(rows: int, symbols: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Utterances in which each phone has a spectrum and a length of its own: phones, counts, log-mels, frames, and
    speakers that shift the spectra."""
    generator = torch.Generator().manual_seed(seed)
    spectra = torch.randn(symbols, 128, generator=generator) * 1.5 - 5
    counts = torch.tensor([6 + row % 3 for row in range(rows)])
    steps = torch.randint(1, symbols, (rows, int(counts.max())), generator=generator)
    phones = steps.cumsum(1) % symbols  # two of a kind in a row could share their frames in any way
    phones = phones * (torch.arange(phones.shape[1]) < counts[:, None])
    durations = (3 + phones % 5) * (torch.arange(phones.shape[1]) < counts[:, None])
    shifts = torch.nn.functional.normalize(torch.randn(rows, 192, generator=generator), dim=-1)
    mel = regulate(spectra[phones], durations) + shifts[:, None, :128] * 4
    return phones, counts, mel.mT, durations.sum(1), shifts


def test_a_row_is_what_it_is_alone(system: LightSystem) -> None:
    phones, counts, mel, frames, voice = spoken_corpus(4, 9, 0)
    together = system.acoustic(phones, counts, mel, frames, voice)
    for row, (p, n) in enumerate(zip(counts.tolist(), frames.tolist(), strict=True)):
        one = slice(row, row + 1)
        alone = system.acoustic(phones[one, :p], counts[one], mel[one, :, :n], frames[one], voice[one])
        assert together.durations[row, :p].tolist() == alone.durations[0].tolist()
        assert torch.allclose(together.mel[row, :, :n], alone.mel[0], atol=1e-5)
        assert torch.allclose(together.log_durations[row, :p], alone.log_durations[0], atol=1e-5)
        assert not together.mel[row, :, n:].any()
        assert not together.target[row, :, n:].any()


def test_a_piece_can_be_made_in_parts(system: LightSystem) -> None:
    phones, _, _, _, voice = spoken_corpus(1, 9, 1)
    encoded = system.acoustic.encode(phones, voice, torch.ones(1, 1, phones.shape[1]))
    durations = spoken_durations(encoded.log_durations, 1.0)
    states, means, into = regulate(encoded.states, durations), regulate(encoded.means, durations), progress(durations)
    whole, _ = system.acoustic.decode(states, means, into)
    first, state = system.acoustic.decode(states[:, :10], means[:, :10], into[:, :10])
    rest, _ = system.acoustic.decode(states[:, 10:], means[:, 10:], into[:, 10:], state)
    assert torch.allclose(torch.cat([first, rest], 1), whole, atol=1e-6)


@given(st.lists(st.floats(-3.0, 20.0), min_size=1, max_size=40), st.floats(0.25, 4.0))
def test_durations_are_whole_and_add_up(logs: list[float], speed: float) -> None:
    log_durations = torch.tensor(logs)
    actual = spoken_durations(log_durations, speed)
    expected = float(log_durations.double().exp().clamp(1, LONGEST).sum()) / speed
    assert actual.dtype == torch.int64
    assert int(actual.min()) >= 1
    raised = int((actual == 1).sum())  # each of those may have been 0
    assert expected - 1 <= int(actual.sum()) <= expected + 1 + raised


def test_it_speaks_faster_at_a_higher_speed(system: LightSystem) -> None:
    phones, _, _, _, voice = spoken_corpus(1, 9, 2)
    lengths = [system.acoustic.speak(phones[0], voice[0], speed).shape[-1] for speed in (0.5, 1.0, 2.0)]
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=2)
    assert lengths[1] == pytest.approx(2 * lengths[2], abs=2)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ConfigError, match="odd"):
        AcousticConfig(kernel=4)


def test_it_learns_a_few_utterances() -> None:
    """Every duration, by search alone, and the log-mel within 0.1 nepers, where it begins at over 1."""
    torch.manual_seed(0)
    network = Acoustic(AcousticConfig(width=32, layers=1, units=32, dropout=0.0))
    phones, counts, mel, frames, voice = spoken_corpus(6, 8, 3)
    real = torch.arange(mel.shape[-1]) < frames[:, None]
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    distances = []
    for _ in range(50):
        fitted = network(phones, counts, mel, frames, voice)
        gap = (fitted.mel - fitted.target)[real[:, None].expand_as(mel)]
        logs = fitted.log_durations - fitted.durations.clamp(min=1).log()
        aligned = (fitted.means - standardise(mel)).square()[real[:, None].expand_as(mel)].mean()
        timed = logs[torch.arange(phones.shape[1]) < counts[:, None]].square().mean()
        optimiser.zero_grad()
        (gap.abs().mean() + aligned + timed).backward()
        optimiser.step()
        distances.append(float(gap.detach().abs().mean()) * 2.5)
    truth = (3 + phones % 5) * (torch.arange(phones.shape[1]) < counts[:, None])
    assert distances[0] > 1
    assert distances[-1] < 0.1
    assert fitted.durations.tolist() == truth.tolist()
