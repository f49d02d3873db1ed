"""The graph `prior` of s2 (see `model.export.s2`): codes and phones to a distribution for each frame, at any speed."""

import math
from collections.abc import Sequence

from voicemill.model.export.draft import DOUBLE, FLOAT, INTEGER, Draft, array
from voicemill.model.s2.layers import MASKED, Attention, Encoder
from voicemill.model.s2.synthesizer import CODE_FRAMES, Synthesizer


def prior(draft: Draft, s2: Synthesizer) -> None:
    """Draft `prior`. The codebook and the projection behind it are one table: their product."""
    config, encoder = s2.config, s2.enc_p
    numbers = draft.input("codes", "int64", ["rows", "codes"])
    total = draft.do("Mul", draft.input("code_lengths", "int64", ["rows"]), draft.const(CODE_FRAMES, "int64"))
    phones = draft.input("phones", "int64", ["rows", "phones"])
    phone_lengths = draft.input("phone_lengths", "int64", ["rows"])
    ge = draft.input("ge", "float32", ["voices", config.style, 1])
    speed = draft.input("speed", "float64", [])
    table = array(s2.quantizer.embed) @ array(encoder.ssl_proj.weight)[:, :, 0].T + array(encoder.ssl_proj.bias)
    content = draft.transpose(draft.do("Gather", draft.weight(table), numbers), 0, 2, 1)
    content = draft.unsqueeze(content, 3)
    content = draft.reshape(draft.do("Concat", *[content] * CODE_FRAMES, axis=3), 0, 0, -1)
    mask = draft.mask(total, draft.size(content, 2))
    text_mask = draft.mask(phone_lengths, draft.size(phones, 1))
    x = _encoder(draft, content, mask, encoder.encoder_ssl)
    text = draft.transpose(draft.do("Gather", draft.weight(array(encoder.text_embedding.weight)), phones), 0, 2, 1)
    text = _encoder(draft, text, text_mask, encoder.encoder_text)
    if config.speaker_dim:
        ge = draft.transpose(draft.module_linear(draft.transpose(ge, 0, 2, 1), s2.ge_to512), 0, 2, 1)
    mrte = encoder.mrte
    content = draft.module_conv(draft.do("Mul", x, mask), mrte.c_pre)
    text = draft.do("Mul", draft.module_conv(draft.do("Mul", text, text_mask), mrte.text_pre), text_mask)
    mixed = _attention(draft, draft.do("Mul", content, mask), text, text_mask, mrte.cross_attention)
    x = draft.do("Add", draft.do("Add", mixed, content), ge)
    x = _encoder(draft, draft.module_conv(draft.do("Mul", x, mask), mrte.c_post), mask, encoder.encoder2)
    frames = _stretched_frames(draft, total, speed)
    x = _stretch(draft, x, total, frames)
    real = draft.mask(frames, draft.size(x, 2))
    halves = draft.many(2, "Split", draft.do("Mul", draft.module_conv(x, encoder.proj), real), axis=1)
    for name, value in zip(("mean", "logs"), halves, strict=True):
        draft.output(value, name, "float32", ["rows", config.hidden, "stretched"])
    draft.output(frames, "frames", "int64", ["rows"])


def _stretched_frames(draft: Draft, total: str, speed: str) -> str:
    """`voicemill.model.s2.encoders.stretched_frames`, for int64 [rows]."""
    slower = draft.do("Div", draft.do("Cast", total, to=DOUBLE), speed)
    counted = draft.do("Add", draft.do("Cast", slower, to=INTEGER), draft.const(1, "int64"))
    return draft.do("Where", draft.do("Equal", speed, draft.const(1.0, "float64")), total, counted)


def _stretch(draft: Draft, x: str, before: str, after: str) -> str:
    """`voicemill.model.s2.encoders.stretch`: frame i lies at (i + 1/2) before / after - 1/2, clipped to the row."""
    places = draft.do("Cast", draft.range(draft.do("ReduceMax", after, axes=[0])), to=FLOAT)
    share = draft.do("Div", *(draft.do("Cast", count, to=FLOAT) for count in (before, after)))
    half, last = draft.const(0.5), draft.unsqueeze(draft.do("Sub", before, draft.const(1, "int64")), 1)
    at = draft.do("Mul", draft.do("Add", places, half), draft.unsqueeze(share, 1))
    at = draft.do("Max", draft.do("Sub", at, half), draft.const(0.0))
    lower = draft.do("Min", draft.do("Cast", draft.do("Floor", at), to=INTEGER), last)
    upper = draft.do("Min", draft.do("Add", lower, draft.const(1, "int64")), last)
    part = draft.unsqueeze(draft.do("Sub", at, draft.do("Cast", lower, to=FLOAT)), 1)
    frames = draft.transpose(x, 0, 2, 1)
    indices = [draft.unsqueeze(bound, 2) for bound in (lower, upper)]
    below, above = (draft.transpose(_frames_at(draft, frames, index), 0, 2, 1) for index in indices)
    step = draft.do("Mul", draft.do("Sub", above, below), part)
    return draft.do("Add", below, step)


def _frames_at(draft: Draft, frames: str, index: str) -> str:
    """Frames at indices: [rows, time, channels] and int64 [rows, n, 1] -> [rows, n, channels]."""
    return draft.do("GatherND", frames, index, batch_dims=1)


def _encoder(draft: Draft, x: str, mask: str, encoder: Encoder) -> str:
    """`voicemill.model.s2.layers.Encoder`."""
    x = draft.do("Mul", x, mask)
    layers = zip(encoder.attn_layers, encoder.norm_layers_1, encoder.ffn_layers, encoder.norm_layers_2, strict=True)
    for attention, first, forward, second in layers:
        x = _norm(draft, draft.do("Add", x, _attention(draft, x, x, mask, attention)), first)
        inner = draft.do("Relu", draft.module_conv(draft.do("Mul", x, mask), forward.conv_1))
        inner = draft.module_conv(draft.do("Mul", inner, mask), forward.conv_2)
        x = _norm(draft, draft.do("Add", x, draft.do("Mul", inner, mask)), second)
    return draft.do("Mul", x, mask)


def _norm(draft: Draft, x: str, norm: object) -> str:
    gain, shift = array(norm.gamma), array(norm.beta)  # type: ignore[attr-defined]
    return draft.transpose(draft.layer_norm(draft.transpose(x, 0, 2, 1), gain, shift, 1e-5), 0, 2, 1)


def _attention(draft: Draft, x: str, source: str, mask: str, attention: Attention) -> str:
    """`voicemill.model.s2.layers.Attention`."""
    convs = ((x, attention.conv_q), (source, attention.conv_k), (source, attention.conv_v))
    q, k, v = (
        draft.transpose(
            draft.reshape(draft.module_conv(of, conv), 0, attention.heads, -1, draft.size(of, 2)), 0, 1, 3, 2
        )
        for of, conv in convs
    )
    size = attention.conv_q.weight.shape[0] // attention.heads
    q = draft.do("Mul", q, draft.const(1 / math.sqrt(size)))
    scores = draft.do("MatMul", q, draft.transpose(k, 0, 1, 3, 2))
    time = draft.size(x, 2)
    if attention.window:
        band = draft.do("MatMul", q, draft.const(array(attention.emb_rel_k)[0].T))
        scores = draft.do("Add", scores, _by_position(draft, band, time, attention.window))
    masked = draft.do("Equal", draft.unsqueeze(mask, 1), draft.const(0.0))
    weights = draft.do("Softmax", draft.do("Where", masked, draft.const(MASKED), scores), axis=-1)
    result = draft.do("MatMul", weights, v)
    if attention.window:
        near = _by_distance(draft, weights, time, attention.window)
        result = draft.do("Add", result, draft.do("MatMul", near, draft.const(array(attention.emb_rel_v)[0])))
    joined = draft.reshape(draft.transpose(result, 0, 1, 3, 2), 0, -1, time)
    return draft.module_conv(joined, attention.conv_o)


def _by_position(draft: Draft, band: str, time: str, window: int) -> str:
    """`voicemill.model.s2.layers.by_position`: [rows, heads, t, 2 window + 1] -> [rows, heads, t, t]."""
    flat = draft.reshape(_pad(draft, band, draft.ints(0), time), 0, 0, -1)
    row = draft.do("Add", time, draft.ints(2 * window))
    flat = draft.slice(flat, 2, 0, draft.do("Mul", time, row))
    return draft.slice(draft.reshape(flat, 0, 0, time, row), 3, window, draft.do("Add", time, draft.ints(window)))


def _by_distance(draft: Draft, square: str, time: str, window: int) -> str:
    """`voicemill.model.s2.layers.by_distance`: [rows, heads, t, t] -> [rows, heads, t, 2 window + 1]."""
    wide = draft.reshape(_pad(draft, square, draft.ints(window), draft.ints(window)), 0, 0, 1, -1)
    flat = _pad(draft, wide, draft.ints(0), time)
    return draft.slice(draft.reshape(flat, 0, 0, time, -1), 3, 0, 2 * window + 1)


def _pad(draft: Draft, x: str, before: str, after: str) -> str:
    """Pad the last of four axes with zeros at both ends."""
    none: Sequence[str] = [draft.ints(0)] * 3
    return draft.do("Pad", x, draft.do("Concat", *none, before, *none, after, axis=0))
