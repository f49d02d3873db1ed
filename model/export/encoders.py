"""Pretrained encoders as graphs: HuBERT, wav2vec 2.0 and Whisper (content of a reference), BERT (Chinese text).

content  wave float32 [rows, samples], 16 kHz, 400 or more, rows equally long -> features float32 [rows, frames, dims]
whisper  log-mel float32 [frames at 100 Hz, 80] -> features float32 [frames at 50 Hz, dims], at most 1,500
bert     tokens int64 [rows, tokens] -> features float32 [rows, tokens, dims] of its last layer

Group norm with one channel in a group is the instance norm of ONNX.
"""

from typing import Any

from voicemill.model.content.pretrained import Encoder
from voicemill.model.content.whisper import BANDS
from voicemill.model.content.whisper import Network as WhisperNetwork
from voicemill.model.export.draft import Array, Draft, array
from voicemill.model.text.bert import BertFeatures
from voicemill.storage.errors import ConfigError

KINDS = ("hubert", "wav2vec2")


def content(draft: Draft, encoder: Encoder) -> None:
    """Draft `content`. Raises ConfigError for WavLM, whose attention differs, and for another activation."""
    config, model = encoder.model.config, encoder.model
    if config.model_type not in KINDS or config.hidden_act != "gelu" or encoder.normalise:
        raise ConfigError(
            f"content encoder of kind {config.model_type} with {config.hidden_act}: graphs support {', '.join(KINDS)} "
            "with gelu; use --engine torch"
        )
    x = draft.unsqueeze(draft.input("wave", "float32", ["rows", "samples"]), 1)
    x = draft.transpose(_front(draft, x, encoder), 0, 2, 1)
    projection = model.feature_projection
    if hasattr(projection, "layer_norm"):
        x = draft.module_norm(x, projection.layer_norm)
    x = draft.module_linear(x, projection.projection)
    x = draft.do("Add", x, _places(draft, x, model.encoder.pos_conv_embed))
    stable = bool(config.do_stable_layer_norm)
    if not stable:
        x = draft.module_norm(x, model.encoder.layer_norm)
    for layer in model.encoder.layers:
        x = _layer(draft, x, layer, config.num_attention_heads, stable)
    if stable and hasattr(model.encoder.layer_norm, "weight"):
        x = draft.module_norm(x, model.encoder.layer_norm)
    draft.output(x, "features", "float32", ["rows", "frames", encoder.dims])


def _front(draft: Draft, x: str, encoder: Encoder) -> str:
    """Convolutions over the wave, [rows, 1, samples] -> [rows, channels, frames]."""
    front = encoder.front
    weights: list[tuple[Array, Array | None]] = [(array(front.weight)[:, None], _optional(front.bias))]
    for layer, kernel in zip(front.dense, front.kernels[1:], strict=True):
        flat = array(layer.weight)
        weights.append((flat.reshape(len(flat), kernel, -1).transpose(0, 2, 1), _optional(layer.bias)))
    for number, (weight, bias) in enumerate(weights):
        x = draft.conv(x, weight, bias, stride=front.strides[number])
        norm = front.norms[number]
        if norm is not None:
            x = draft.transpose(draft.module_norm(draft.transpose(x, 0, 2, 1), norm), 0, 2, 1)
        elif number == 0:
            gains = draft.const(array(front.scale)), draft.const(array(front.shift))
            x = draft.do("InstanceNormalization", x, *gains, epsilon=float(front.eps))
        x = draft.gelu(x)
    return x


def _optional(bias: Any) -> Array | None:
    return None if bias is None else array(bias)


def _places(draft: Draft, x: str, positions: Any) -> str:
    """Positional convolution, [rows, frames, dims] -> the same shape."""
    conv = positions.conv
    before = conv.padding[0]
    after = before - (1 - conv.kernel_size[0] % 2)  # an even kernel makes one frame too many, which is dropped
    channels_first = draft.transpose(x, 0, 2, 1)
    if getattr(positions, "batch_norm", None) is not None:
        raise ConfigError("content encoder with a batch norm before its positions: use --engine torch")
    y = draft.conv(channels_first, array(conv.weight), _optional(conv.bias), pads=(before, after), groups=conv.groups)
    return draft.transpose(draft.gelu(y), 0, 2, 1)


def _layer(draft: Draft, x: str, layer: Any, heads: int, stable: bool) -> str:
    """Transformer layer; `stable`: norms in front of attention and feed-forward, not behind the sums."""
    own = layer.attention
    normed = draft.module_norm(x, layer.layer_norm) if stable else x
    x = draft.do("Add", x, _attention(draft, normed, (own.q_proj, own.k_proj, own.v_proj), own.out_proj, heads))
    if not stable:
        x = draft.module_norm(x, layer.layer_norm)
    normed = draft.module_norm(x, layer.final_layer_norm) if stable else x
    inner = draft.gelu(draft.module_linear(normed, layer.feed_forward.intermediate_dense))
    x = draft.do("Add", x, draft.module_linear(inner, layer.feed_forward.output_dense))
    return x if stable else draft.module_norm(x, layer.final_layer_norm)


def _attention(draft: Draft, x: str, projections: tuple[Any, Any, Any], out: Any, heads: int) -> str:
    q, k, v = (draft.split_heads(draft.module_linear(x, projection), heads) for projection in projections)
    size = projections[0].out_features // heads
    return draft.module_linear(draft.join_heads(draft.attend(q, k, v, size**-0.5)), out)


def whisper(draft: Draft, network: WhisperNetwork) -> None:
    """Draft the encoder of Whisper up to the layer of `network`; its log-mel is computed outside."""
    x = draft.transpose(draft.unsqueeze(draft.input("mel", "float32", ["mel_frames", BANDS]), 0), 0, 2, 1)
    for stride, dense in ((1, network.conv1), (2, network.conv2)):
        flat = array(dense.weight)
        weight = flat.reshape(len(flat), 3, -1).transpose(0, 2, 1)
        x = draft.gelu(draft.conv(x, weight, array(dense.bias), pads=(1, 1), stride=stride))
    x = draft.transpose(x, 0, 2, 1)
    places = draft.slice(draft.weight(array(network.positions)), 0, 0, draft.size(x, 1))
    x = draft.do("Add", x, places)
    for layer in network.layers:
        qkv = draft.module_linear(draft.module_norm(x, layer["norm"]), layer["qkv"])
        q, k, v = (draft.split_heads(part, network.heads) for part in draft.many(3, "Split", qkv, axis=-1))
        mixed = draft.join_heads(draft.attend(q, k, v, (network.width // network.heads) ** -0.5))
        x = draft.do("Add", x, draft.module_linear(mixed, layer["out"]))
        inner = draft.gelu(draft.module_linear(draft.module_norm(x, layer["final_norm"]), layer["inner"]))
        x = draft.do("Add", x, draft.module_linear(inner, layer["outer"]))
    if network.norm is not None:
        x = draft.module_norm(x, network.norm)
    draft.output(draft.do("Squeeze", x, draft.ints(0)), "features", "float32", ["frames", network.width])


def bert(draft: Draft, features: BertFeatures) -> None:
    """Draft `bert`, up to the layer that s1 reads. Raises ConfigError for another activation or kind of position."""
    model, config = features.model, features.model.config
    if config.hidden_act != "gelu" or getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        raise ConfigError("BERT as a graph: expected gelu and absolute positions; use --engine torch")
    tokens = draft.input("tokens", "int64", ["rows", "tokens"])
    tables = model.embeddings
    places = array(tables.position_embeddings.weight) + array(tables.token_type_embeddings.weight)[0]
    words = draft.embedding(array(tables.word_embeddings.weight), tokens)
    x = draft.do("Add", words, draft.do("Gather", draft.const(places), draft.range(draft.size(tokens, 1))))
    x = draft.module_norm(x, tables.LayerNorm)
    for layer in model.encoder.layer:
        own, after = layer.attention.self, layer.attention.output
        mixed = _attention(draft, x, (own.query, own.key, own.value), after.dense, config.num_attention_heads)
        x = draft.module_norm(draft.do("Add", x, mixed), after.LayerNorm)
        inner = draft.gelu(draft.module_linear(x, layer.intermediate.dense))
        x = draft.module_norm(
            draft.do("Add", x, draft.module_linear(inner, layer.output.dense)), layer.output.LayerNorm
        )
    draft.output(x, "features", "float32", ["rows", "tokens", config.hidden_size])
