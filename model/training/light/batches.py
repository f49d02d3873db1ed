"""Log-mels, waves and random places of a minibatch, as all trainings of the light system need them."""

import torch
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.data.minibatch import Minibatch
from voicemill.storage.errors import ConfigError


def log_mels(batch: Minibatch, mel: LogMel) -> Tensor:
    """Return log-mels float32 [batch, 128, frames]: those of the corpus, or else each row as it is computed alone, the
    floor after its end.

    Raises ConfigError where the minibatch has neither log-mels nor waves.
    """
    if batch.mel is not None:
        return batch.mel
    wave = waves(batch)
    return mel.to(wave.device).from_spectrogram(mel.spectrogram(wave, batch.lengths))


def waves(batch: Minibatch) -> Tensor:
    """Return the waves float32 [batch, samples], 32 kHz. Raises ConfigError where there are none."""
    if batch.wave is None:
        raise ConfigError(
            'the light system is trained on waves, but this minibatch has none: name "wave" in the needs of the loader'
        )
    return batch.wave


def places(batch: Minibatch, size: int) -> Tensor:
    """Return the first frame of a piece of `size` frames, int64 [batch], drawn from the seed of each row; 0 where the
    row is shorter."""
    drawn = [torch.rand((), generator=torch.Generator().manual_seed(seed)) for seed in batch.seeds.tolist()]
    uniform = torch.stack(drawn).to(batch.lengths.device)
    return (uniform * (batch.lengths - size + 1).clamp(min=1)).long()
