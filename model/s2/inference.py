"""Preparation of a loaded synthesizer for inference: training parts removed, weight norm folded, generator packed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from voicemill.model.device import Placement, can_pack
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.eight_bit import has_fast_bytes, peaks
from voicemill.model.s2.encoders import Prior
from voicemill.model.s2.packed import PackedGenerator
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.s2.weight_norm import fold


class Synthesis(Protocol):
    """Inference interface of s2, implemented by `Synthesizer` and by its graphs (`model.export.rendering`).

    Methods are those of `Synthesizer`.
    """

    @property
    def config(self) -> S2Config: ...

    @property
    def device(self) -> torch.device: ...

    def reference(self, spectrograms: Sequence[Tensor], sv: Sequence[Tensor] | None = None) -> Tensor: ...

    def codes(self, ssl: Tensor) -> Tensor: ...

    def prior(self, codes: Tensor, phones: Tensor, ge: Tensor, speed: float = 1.0) -> Prior: ...

    def latent(self, mean: Tensor, logs: Tensor, noise_scale: float = 0.5, noise: Tensor | None = None) -> Tensor: ...

    def waveform(self, z: Tensor, ge: Tensor) -> Tensor: ...

    def stream(self, z: Tensor | Iterable[Tensor], ge: Tensor, frames_per_chunk: int = 50) -> Iterator[Tensor]: ...


def prepare(synthesizer: Synthesizer, placement: Placement, eight_bits: bool = False) -> Synthesizer:
    """Turn `synthesizer` in place into one for inference: eval mode, no gradients, on the device of `placement`.

    On a CPU whose torch has oneDNN the generator runs in the dtype of `placement`; everything before it stays float32,
    as does the generator elsewhere. `eight_bits`: compute mostly in 8 bits, where that dtype is bfloat16 and the CPU
    multiplies bytes faster. Every method returns what it did before (log-mel within a hundredth on average, within two
    in 8 bits); the training forward and the state dict of the generator are lost.
    """
    if hasattr(synthesizer, "enc_q"):
        del synthesizer.enc_q
    fold(synthesizer)
    synthesizer.eval().requires_grad_(False)
    if placement.device.type == "cpu" and can_pack():
        dtype = placement.dtype if placement.dtype is torch.bfloat16 else torch.float32
        largest = peaks(synthesizer) if eight_bits and dtype is torch.bfloat16 and has_fast_bytes() else None
        synthesizer.dec = PackedGenerator(synthesizer.dec, dtype, largest).eval()
    synthesizer.to(placement.device)
    return synthesizer
