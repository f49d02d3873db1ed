"""The light system as four graphs, three where the speaker encoder is the embedded one.

speaker   mel float32 [rows, 128, frames] (log-mel, `model.audio.mel`; rows equally long)
          -> embedding float32 [rows, 192]
encode    phones int64 [rows, phones], voice float32 [rows, 192]
          -> states [rows, phones, width], means [rows, phones, 128], log_durations [rows, phones]
decode    states [rows, frames, width], means [rows, frames, 128], into [rows, frames] of each frame's phone, hidden and
          cell [layers, rows, units], zeros at first -> mel [rows, frames, 128], hidden and cell for the next frames
vocoder   z float32 [rows, 128, frames], the log-mel -> wave float32 [rows, frames x 640]

Between encode and decode durations are rounded and phones repeated (`model.light.alignment`). In 8 bits the LSTM is
ONNX Runtime's `DynamicQuantizeLSTM`, with a scale for each gate of each unit.
"""

from typing import Any

import numpy as np

from voicemill.model.export.draft import SMALL, Array, Draft, array
from voicemill.model.light.acoustic import MEAN, SPREAD, Acoustic
from voicemill.model.light.config import BANDS
from voicemill.model.light.ecapa import LEAST, Block, EcapaTdnn, Layer, Pooling
from voicemill.model.light.ecapa import SPREAD as LEVEL_SPREAD
from voicemill.model.light.spectral import LOUDEST, ConvNext, SpectralVocoder
from voicemill.model.onnx_graph import MICROSOFT


def speaker(draft: Draft, encoder: EcapaTdnn) -> None:
    """Draft `speaker`."""
    mel = draft.input("mel", "float32", ["rows", BANDS, "frames"])
    level = draft.do("ReduceMean", mel, axes=[1, 2])
    x = draft.do("Div", draft.do("Sub", mel, level), draft.const(LEVEL_SPREAD))
    x = _layer(draft, x, encoder.first)
    outputs = []
    for block in encoder.blocks:
        x = _block(draft, x, block)
        outputs.append(x)
    joined = _layer(draft, draft.do("Concat", *outputs, axis=1), encoder.join)
    pooled = draft.module_norm(_pooled(draft, joined, encoder.pool), encoder.norm)
    embedding = draft.do("LpNormalization", draft.module_linear(pooled, encoder.last), axis=-1, p=2)
    draft.output(embedding, "embedding", "float32", ["rows", encoder.config.embedding])


def _layer(draft: Draft, x: str, layer: Layer) -> str:
    return _frame_norm(draft, draft.do("Relu", draft.module_conv(x, layer.conv)), layer.norm)


def _frame_norm(draft: Draft, x: str, norm: Any) -> str:
    return draft.transpose(draft.module_norm(draft.transpose(x, 0, 2, 1), norm), 0, 2, 1)


def _block(draft: Draft, x: str, block: Block) -> str:
    parts = draft.many(block.scale, "Split", _layer(draft, x, block.before), axis=1)
    outputs = parts[:1]
    for layer, part in zip(block.parts, parts[1:], strict=True):
        outputs.append(_layer(draft, draft.do("Add", part, outputs[-1]) if len(outputs) > 1 else part, layer))
    y = _layer(draft, draft.do("Concat", *outputs, axis=1), block.after)
    mean = draft.do("ReduceMean", y, axes=[2], keepdims=0)
    gate = draft.module_linear(draft.do("Relu", draft.module_linear(mean, block.squeeze)), block.excite)
    return draft.do("Add", x, draft.do("Mul", y, draft.unsqueeze(draft.do("Sigmoid", gate), 2)))


def _pooled(draft: Draft, x: str, pool: Pooling) -> str:
    """Attentive statistics pooling, [rows, channels, frames] -> [rows, 2 x channels]."""
    mean = draft.do("ReduceMean", x, axes=[2])
    apart = draft.do("Sub", x, mean)
    variance = draft.do("ReduceMean", draft.do("Mul", apart, apart), axes=[2])
    deviation = draft.do("Sqrt", draft.do("Max", variance, draft.const(LEAST)))
    shape = draft.do("Shape", x)
    everywhere = [draft.do("Expand", part, shape) for part in (mean, deviation)]
    features = draft.do("Tanh", _layer(draft, draft.do("Concat", x, *everywhere, axis=1), pool.look))
    weights = draft.do("Softmax", draft.module_conv(features, pool.weigh), axis=-1)
    mean = draft.do("ReduceSum", draft.do("Mul", x, weights), draft.ints(2), keepdims=1)
    apart = draft.do("Sub", x, mean)
    spread = draft.do("Mul", draft.do("Mul", apart, apart), weights)
    variance = draft.do("ReduceSum", spread, draft.ints(2), keepdims=0)
    deviation = draft.do("Sqrt", draft.do("Max", variance, draft.const(LEAST)))
    return draft.do("Concat", draft.do("Squeeze", mean, draft.ints(2)), deviation, axis=1)


def encode(draft: Draft, acoustic: Acoustic) -> None:
    """Draft `encode`; all phones are real."""
    config = acoustic.config
    phones = draft.input("phones", "int64", ["rows", "phones"])
    voice = draft.input("voice", "float32", ["rows", config.embedding])
    x = draft.embedding(array(acoustic.embedding.weight), phones)
    x = draft.do("Add", x, draft.unsqueeze(draft.module_linear(voice, acoustic.voice), 1))
    x = draft.transpose(x, 0, 2, 1)
    for conv, norm in zip(acoustic.convs, acoustic.norms, strict=True):
        x = draft.do("Add", x, _frame_norm(draft, draft.do("Relu", draft.module_conv(x, conv)), norm))
    timing = x
    for conv, norm in zip(acoustic.timing, acoustic.timing_norms, strict=True):
        timing = _frame_norm(draft, draft.do("Relu", draft.module_conv(timing, conv)), norm)
    states = draft.transpose(x, 0, 2, 1)
    durations = draft.module_linear(draft.transpose(timing, 0, 2, 1), acoustic.duration)
    draft.output(states, "states", "float32", ["rows", "phones", config.width])
    draft.output(draft.module_linear(states, acoustic.mean), "means", "float32", ["rows", "phones", BANDS])
    draft.output(draft.do("Squeeze", durations, draft.ints(2)), "log_durations", "float32", ["rows", "phones"])


def decode(draft: Draft, acoustic: Acoustic) -> None:
    """Draft `decode`."""
    config = acoustic.config
    states = draft.input("states", "float32", ["rows", "frames", config.width])
    means = draft.input("means", "float32", ["rows", "frames", BANDS])
    into = draft.input("into", "float32", ["rows", "frames"])
    shape: list[int | str] = [config.recurrent_layers, "rows", config.units]
    before = [draft.input(name, "float32", shape) for name in ("hidden", "cell")]
    x = draft.do("Concat", states, draft.unsqueeze(into, 2), axis=2)
    x = draft.transpose(draft.do("Relu", draft.module_linear(x, acoustic.enter)), 1, 0, 2)
    after: list[list[str]] = [[], []]
    for number in range(config.recurrent_layers):
        start = [draft.slice(value, 0, number, number + 1) for value in before]
        x, *ends = _lstm(draft, x, acoustic.lstm, number, start)
        for states_after, end in zip(after, ends, strict=True):
            states_after.append(end)
    standard = draft.do("Add", means, draft.module_linear(draft.transpose(x, 1, 0, 2), acoustic.leave))
    mel = draft.do("Add", draft.do("Mul", standard, draft.const(SPREAD)), draft.const(MEAN))
    draft.output(mel, "mel", "float32", ["rows", "frames", BANDS])
    for name, states_after in zip(("hidden", "cell"), after, strict=True):
        draft.output(draft.do("Concat", *states_after, axis=0), f"{name}_after", "float32", shape)


def _lstm(draft: Draft, x: str, lstm: Any, layer: int, start: list[str]) -> tuple[str, str, str]:
    """One LSTM layer: [frames, rows, units] -> the same shape, and the state after it, [1, rows, units] each."""
    units = lstm.hidden_size
    w, r, b, c = (array(getattr(lstm, f"{name}_l{layer}")) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    w, r, b, c = (_gates(value, units) for value in (w, r, b, c))
    bias = draft.const(np.concatenate([b, c])[None])
    if draft.precision == "int8" and w.size >= SMALL:
        levels, scales, none = [], [], draft.const(np.zeros((1, 4 * units)), "int8")
        for weight in (w, r):
            scale = np.maximum(np.abs(weight).max(1), 1e-20) / 127
            levels.append(draft.const(np.rint(weight / scale[:, None]).T[None], "int8"))
            scales.append(draft.const(scale[None]))
        inputs = [x, *levels, bias, "", *start, "", scales[0], none, scales[1], none]
        y, *ends = draft.many(3, "DynamicQuantizeLSTM", *inputs, domain=MICROSOFT, hidden_size=units)
    else:
        inputs = [x, draft.weight(w[None]), draft.weight(r[None]), bias, "", *start]
        y, *ends = draft.many(3, "LSTM", *inputs, hidden_size=units)
    return draft.do("Squeeze", y, draft.ints(1)), ends[0], ends[1]


def _gates(value: Array, units: int) -> Array:
    """Rows of input, forget, cell and output gate, the order of torch, in that of ONNX: input, output, forget, cell."""
    i, f, g, o = value.reshape(4, units, *value.shape[1:])
    return np.concatenate([i, o, f, g])


def spectral(draft: Draft, vocoder: SpectralVocoder) -> None:
    """Draft `vocoder` where it gives spectra. The inverse transform is a product with windowed cosines and sines, in
    float16 at every precision but float32."""
    config = vocoder.config
    mel = draft.input("z", "float32", ["rows", config.hidden, "frames"])
    standard = draft.do("Div", draft.do("Sub", mel, draft.const(MEAN)), draft.const(SPREAD))
    x = draft.transpose(draft.module_conv(standard, vocoder.enter), 0, 2, 1)
    for block in vocoder.slow:
        x = _convnext(draft, x, block)
    x = draft.reshape(draft.module_linear(x, vocoder.expand), 0, -1, config.width)
    for block in vocoder.fast:
        x = _convnext(draft, x, block)
    both = draft.module_linear(draft.module_norm(x, vocoder.norm), vocoder.leave)
    magnitude, phase = draft.many(2, "Split", both, axis=2)
    magnitude = draft.do("Exp", draft.do("Min", magnitude, draft.const(LOUDEST)))
    parts = [draft.do("Mul", magnitude, draft.do(wave, phase)) for wave in ("Cos", "Sin")]
    pieces = draft.do("MatMul", draft.do("Concat", *parts, axis=2), _basis(draft, vocoder))
    times, start = config.fft // config.step, (config.fft - config.step) // 2
    summed = []
    for number in range(times):
        part = draft.slice(pieces, 2, number * config.step, (number + 1) * config.step)
        summed.append(draft.do("Pad", part, draft.ints(0, number, 0, 0, times - 1 - number, 0)))
    flat = draft.reshape(draft.do("Sum", *summed), 0, -1)
    draft.output(draft.slice(flat, 1, start, start - config.fft + config.step), "wave", "float32", ["rows", "samples"])


def _convnext(draft: Draft, x: str, block: ConvNext) -> str:
    mixed = draft.transpose(draft.module_conv(draft.transpose(x, 0, 2, 1), block.conv), 0, 2, 1)
    wide = draft.gelu(draft.module_linear(draft.module_norm(mixed, block.norm), block.widen))
    gain = array(block.gain)  # part of the layer before it
    narrow = draft.linear(wide, array(block.narrow.weight) * gain[:, None], array(block.narrow.bias) * gain)
    return draft.do("Add", x, narrow)


def _basis(draft: Draft, vocoder: SpectralVocoder) -> str:
    """Windowed inverse transform of real and imaginary parts: [fft + 2, fft]."""
    fft, bins = vocoder.config.fft, vocoder.config.fft // 2 + 1
    weights = np.full(bins, 2.0 / fft)
    weights[[0, -1]] = 1.0 / fft
    angles = 2 * np.pi * np.outer(np.arange(bins), np.arange(fft)) / fft
    basis = np.concatenate([np.cos(angles), -np.sin(angles)]) * np.tile(weights, 2)[:, None] * array(vocoder.window)
    return draft.weight(basis)
