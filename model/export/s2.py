"""s2 as five graphs, split where voices are averaged and where noise is drawn, which happens outside.

reference  spectrogram float32 [rows, bins, frames] (magnitudes), v2Pro also sv [rows, speaker_dim]
           -> ge [rows, style, 1]
codes      ssl float32 [rows, ssl_dim, frames], 50 Hz -> codes int64 [rows, frames // 2]
prior      codes int64 [rows, codes], code_lengths int64 [rows], phones int64 [rows, phones], phone_lengths int64
           [rows], ge, speed float64 []
           -> mean, logs float32 [rows, hidden, frames'], 0 after a row's end; frames int64 [rows]
flow       z float32 [rows, hidden, frames], lengths int64 [rows], ge -> latent of the generator
generator  z, ge -> wave float32 [rows, frames x hop], 32 kHz; rows are equally long

Between prior and flow z = mean + noise x exp(logs) x noise_scale. The spectrogram is computed outside, by the one
definition of the system (`voicemill.model.audio.mel`). `prior` is in `voicemill.model.export.s2_prior`.
"""

import numpy as np

from voicemill.model.export.draft import Draft, array
from voicemill.model.s2.encoders import REFERENCE_HEADS, ReferenceEncoder
from voicemill.model.s2.generator import SLOPE, Generator
from voicemill.model.s2.latent import Coupling
from voicemill.model.s2.layers import WaveNet
from voicemill.model.s2.packed import phases
from voicemill.model.s2.synthesizer import Synthesizer


def reference(draft: Draft, s2: Synthesizer) -> None:
    """Draft `reference`: the reference encoder, and in v2Pro the contribution of the speaker embedding."""
    config = s2.config
    ge = _reference(draft, draft.input("spectrogram", "float32", ["rows", "bins", "frames"]), s2.ref_enc)
    if config.speaker_dim:
        sv = draft.input("sv", "float32", ["rows", config.speaker_dim])
        ge = draft.do("Add", ge, draft.unsqueeze(draft.module_linear(sv, s2.sv_emb), 2))
        ge = draft.do("PRelu", ge, draft.const(array(s2.prelu.weight)[:, None]))
    draft.output(ge, "ge", "float32", ["rows", config.style, 1])


def _reference(draft: Draft, spectrogram: str, encoder: ReferenceEncoder) -> str:
    x = draft.transpose(draft.slice(spectrogram, 1, 0, encoder.bins), 0, 2, 1)
    for number in (0, 3):
        x = draft.mish(draft.module_linear(x, encoder.spectral[number].fc))
    x = draft.transpose(x, 0, 2, 1)
    for layer in encoder.temporal:
        content, gate = draft.many(2, "Split", draft.module_conv(x, layer.conv1.conv), axis=1)
        x = draft.do("Add", x, draft.do("Mul", content, draft.do("Sigmoid", gate)))
    x = draft.transpose(x, 0, 2, 1)
    own = encoder.slf_attn
    projections = (own.w_qs, own.w_ks, own.w_vs)
    q, k, v = (draft.split_heads(draft.module_linear(x, part), REFERENCE_HEADS) for part in projections)
    mixed = draft.join_heads(draft.attend(q, k, v, own.fc.weight.shape[0] ** -0.5))
    x = draft.module_linear(draft.do("Add", x, draft.module_linear(mixed, own.fc)), encoder.fc.fc)
    return draft.transpose(draft.do("ReduceMean", x, axes=[1]), 0, 2, 1)


def codes(draft: Draft, s2: Synthesizer) -> None:
    """Draft `codes`, in float32 at every precision: a code is the nearest entry, which rounding would change."""
    ssl = draft.input("ssl", "float32", ["rows", s2.config.ssl_dim, "frames"])
    book = array(s2.quantizer.embed)
    x = draft.transpose(draft.module_conv(ssl, s2.ssl_proj), 0, 2, 1)
    distance = draft.do("Sub", draft.const((book**2).sum(-1)), draft.do("MatMul", x, draft.const(2 * book.T)))
    nearest = draft.do("ArgMin", distance, axis=-1, keepdims=0)
    draft.output(nearest, "codes", "int64", ["rows", "codes"])


def flow(draft: Draft, s2: Synthesizer) -> None:
    """Draft `flow`: the inverse, from the latent of the prior to that of the generator."""
    config = s2.config
    shape: list[int | str] = ["rows", config.hidden, "frames"]
    z, ge = draft.input("z", "float32", shape), draft.input("ge", "float32", ["voices", config.style, 1])
    mask = draft.mask(draft.input("lengths", "int64", ["rows"]), draft.size(z, 2))
    backwards = draft.ints(*reversed(range(config.hidden)))
    for coupling in [layer for layer in reversed(s2.flow.flows) if isinstance(layer, Coupling)]:
        # a flip follows each coupling, so the inverse flips first
        z = draft.do("Gather", z, backwards, axis=1)
        lower, upper = draft.many(2, "Split", z, axis=1)
        h = draft.do("Mul", draft.module_conv(lower, coupling.pre), mask)
        h = draft.module_conv(_wavenet(draft, h, mask, ge, coupling.enc), coupling.post)
        moved = draft.do("Mul", draft.do("Sub", upper, draft.do("Mul", h, mask)), mask)
        z = draft.do("Concat", lower, moved, axis=1)
    draft.output(z, "latent", "float32", shape)


def _wavenet(draft: Draft, x: str, mask: str, ge: str, net: WaveNet) -> str:
    count = len(net.in_layers)
    voices = draft.many(count, "Split", draft.module_conv(ge, net.cond_layer), axis=1)
    skip = ""
    for into, out, voice in zip(net.in_layers, net.res_skip_layers, voices, strict=True):
        both = draft.do("Add", draft.module_conv(x, into), voice)
        content, gate = draft.many(2, "Split", both, axis=1)
        y = draft.module_conv(draft.do("Mul", draft.do("Tanh", content), draft.do("Sigmoid", gate)), out)
        if out.out_channels > net.channels:
            more, y = draft.many(2, "Split", y, axis=1)
            x = draft.do("Mul", draft.do("Add", x, more), mask)
        skip = draft.do("Add", skip, y) if skip else y
    return draft.do("Mul", skip, mask)


def generator(draft: Draft, dec: Generator) -> None:
    """Draft `generator`. An upsampling is an ordinary convolution that computes the phases of a frame side by side
    (`voicemill.model.s2.packed.phases`); a generator without a voice has no input ge."""
    config = dec.config
    z = draft.input("z", "float32", ["rows", config.hidden, "frames"])
    x = draft.module_conv(z, dec.conv_pre)
    if dec.cond is not None:
        x = draft.do("Add", x, draft.module_conv(draft.input("ge", "float32", ["voices", config.style, 1]), dec.cond))
    share = draft.const(1 / len(config.resblock_kernels))
    for stage, up in enumerate(dec.ups):
        rate, width = up.stride[0], up.out_channels
        weight = array(phases(up.normed(), rate, up.padding[0]))
        pads = (weight.shape[-1] // 2,) * 2
        x = draft.conv(_leaky(draft, x), weight, np.tile(array(up.bias), rate), pads=pads)
        x = draft.transpose(draft.reshape(x, 0, rate, width, -1), 0, 2, 3, 1)
        x = draft.reshape(x, 0, 0, -1)
        blocks = [_residual(draft, x, block) for block in dec.blocks(stage)]
        x = blocks[0] if len(blocks) == 1 else draft.do("Mul", draft.do("Sum", *blocks), share)
    x = draft.module_conv(draft.do("LeakyRelu", x, alpha=0.01), dec.conv_post)
    draft.output(draft.do("Squeeze", draft.do("Tanh", x), draft.ints(1)), "wave", "float32", ["rows", "samples"])


def _residual(draft: Draft, x: str, block: object) -> str:
    for first, second in zip(block.convs1, block.convs2, strict=True):  # type: ignore[attr-defined]
        inner = draft.module_conv(_leaky(draft, x), first)
        x = draft.do("Add", x, draft.module_conv(_leaky(draft, inner), second))
    return x


def _leaky(draft: Draft, x: str) -> str:
    return draft.do("LeakyRelu", x, alpha=SLOPE)
