"""What all trainings of the light system make of a batch: log-mels, and the place of a piece in each row."""

import torch
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.data.minibatch import Minibatch
from voicemill.storage.errors import ConfigError


def log_mels(batch: Minibatch, mel: LogMel) -> Tensor:
    """float32 [batch, 128, frames]: of each row what it is alone; behind its end the floor.

    Raises ConfigError where the batch has no waves.
    """
    wave = waves(batch)
    return mel.to(wave.device).from_spectrogram(mel.spectrogram(wave, batch.lengths))


def waves(batch: Minibatch) -> Tensor:
    """float32 [batch, samples], 32 kHz. Raises ConfigError where there are none."""
    if batch.wave is None:
        raise ConfigError("the light system is trained on waves: the loader was not told that they are needed")
    return batch.wave


def places(batch: Minibatch, size: int) -> Tensor:
    """int64 [batch]: where a piece of so many frames begins, drawn from the seed of each row; 0 where it is longer."""
    drawn = [torch.rand((), generator=torch.Generator().manual_seed(seed)) for seed in batch.seeds.tolist()]
    uniform = torch.stack(drawn).to(batch.lengths.device)
    return (uniform * (batch.lengths - size + 1).clamp(min=1)).long()
