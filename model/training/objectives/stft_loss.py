"""How far two waves are apart in their spectra at three resolutions (Yamamoto et al. 2020, "Parallel WaveGAN").

For each resolution the relative distance of the magnitudes, which the loud parts decide, and the mean distance of their
logs, which all parts do. The log-mel of the system sees 64 ms at a time; the shortest window here 16 ms.
"""

import torch
from torch import Tensor, nn

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
"""Window and hop, samples at 32 kHz."""
LEAST = 1e-7
"""Of a squared magnitude: 112 to 124 dB below a full-scale sine, by the window."""


class StftLoss(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Differentiable in the second wave; runs where its windows are."""

    def __init__(self) -> None:
        super().__init__()
        for window, _ in RESOLUTIONS:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Two float32 [batch, samples], at least 1025 -> float32 [batch], 0 = the same."""
        terms = []
        for window, hop in RESOLUTIONS:
            wanted, found = (self._magnitudes(wave.float(), window, hop) for wave in (real.detach(), fake))
            apart = (wanted - found).square().sum((1, 2)).clamp(min=LEAST).sqrt()
            whole = wanted.square().sum((1, 2)).sqrt()
            terms.append(apart / whole + (wanted.log() - found.log()).abs().mean((1, 2)))
        return torch.stack(terms).mean(0)

    def _magnitudes(self, wave: Tensor, window: int, hop: int) -> Tensor:
        spectrum = torch.stft(wave, window, hop, window=getattr(self, f"window_{window}"), return_complex=True)
        parts = torch.view_as_real(spectrum).square().sum(-1)
        return parts.clamp(min=LEAST).sqrt()
