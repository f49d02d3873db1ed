"""A loaded synthesizer made ready to speak: nothing that only training needs, weight norm folded, generator packed."""

import torch

from model.device import Placement
from model.s2.eight_bit import has_bytes, peaks
from model.s2.packed import PackedGenerator, packs
from model.s2.synthesizer import Synthesizer
from model.s2.weight_norm import fold


def prepared(synthesizer: Synthesizer, placement: Placement, eight_bits: bool = False) -> Synthesizer:
    """Take `synthesizer` over, in eval mode and without gradients, on the device of `placement`.

    On a CPU whose torch has oneDNN the generator runs in the dtype of `placement`; everything before it stays float32,
    as does the generator elsewhere. `eight_bits`: where that dtype is bfloat16 and the CPU multiplies bytes faster, it
    computes mostly in 8 bits. Every method answers as before (log-mel within a hundredth on average, within two in 8
    bits); the training forward and the state dict of the generator are gone.
    """
    if hasattr(synthesizer, "enc_q"):
        del synthesizer.enc_q
    fold(synthesizer)
    synthesizer.eval().requires_grad_(False)
    if placement.device.type == "cpu" and packs():
        dtype = placement.dtype if placement.dtype is torch.bfloat16 else torch.float32
        found = peaks(synthesizer) if eight_bits and dtype is torch.bfloat16 and has_bytes() else None
        synthesizer.dec = PackedGenerator(synthesizer.dec, dtype, found).eval()
    synthesizer.to(placement.device)
    return synthesizer
