"""Layout of the checkpoints of GPT-SoVITS v2, v2Pro and v2ProPlus: every key with its shape, computed from the sizes.

The names are those of the public checkpoints: s1 without their prefix `model.`, weight norm as `weight_g` and
`weight_v`. The list is independent of the modules, so that a file is checked before a network is built, and so that
modules and list check each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["s1", "s2", "s2_discriminator", "light"]
Shape: TypeAlias = tuple[int, ...]
Entries: TypeAlias = Iterator[tuple[str, Shape]]

KINDS: tuple[Kind, ...] = ("s1", "s2", "s2_discriminator", "light")
"""Kinds of networks; the light system is our own and has no official layout."""
POSTERIOR = "enc_q."
"""Prefix of the posterior encoder of s2, which only training uses: files for inference lack it."""


@dataclass(frozen=True)
class Sizes:
    """Sizes that differ between the versions of s2."""

    gin: int
    """Channels of the speaker vector."""
    top: int
    """Channels of the decoder before its first upsampling."""
    kernels: Shape
    """Kernels of the upsampling convolutions."""
    speaker: bool
    """Whether a speaker embedding of 20480 values is added to the output of the reference encoder."""


VERSIONS = {
    "v2": Sizes(512, 512, (16, 16, 8, 2, 2), speaker=False),
    "v2Pro": Sizes(1024, 512, (16, 16, 8, 2, 2), speaker=True),
    "v2ProPlus": Sizes(1024, 768, (20, 16, 8, 2, 2), speaker=True),
}
PERIODS = {"v2": (2, 3, 5, 7, 11), "v2Pro": (2, 3, 5, 7, 11, 17, 23)}
"""Periods of the discriminators; v2ProPlus has those of v2Pro."""


@cache
def layout(kind: Kind, version: str) -> Mapping[str, Shape]:
    """Key -> shape of every tensor; s1 is the same for all versions ("v2"), the discriminators are v2 or v2Pro.

    Raises KeyError for a version that is not in the table, and for the light system.
    """
    if kind == "light":
        raise KeyError(kind)
    if kind == "s1":
        return MappingProxyType(dict(_s1()))
    if kind == "s2":
        return MappingProxyType(dict(_s2(VERSIONS[version])))
    return MappingProxyType(dict(_discriminators(len(PERIODS[version]))))


def _dense(key: str, *shape: int) -> Entries:
    yield f"{key}.weight", shape
    yield f"{key}.bias", shape[:1]


def _normed(key: str, *shape: int, outputs: int = 0) -> Entries:
    """Convolution with weight norm; `outputs`: output channels of a transposed one, whose first axis is the input."""
    yield f"{key}.bias", (outputs or shape[0],)
    yield f"{key}.weight_g", (shape[0], *(1 for _ in shape[1:]))
    yield f"{key}.weight_v", shape


def _attention(key: str, width: int) -> Entries:
    for name in "qkvo":
        yield from _dense(f"{key}.conv_{name}", width, width, 1)


def _encoder(key: str, layers: int) -> Entries:
    for i in range(layers):
        yield f"{key}.attn_layers.{i}.emb_rel_k", (1, 9, 96)
        yield f"{key}.attn_layers.{i}.emb_rel_v", (1, 9, 96)
        yield from _attention(f"{key}.attn_layers.{i}", 192)
        for norm in ("norm_layers_1", "norm_layers_2"):
            yield f"{key}.{norm}.{i}.gamma", (192,)
            yield f"{key}.{norm}.{i}.beta", (192,)
        yield from _dense(f"{key}.ffn_layers.{i}.conv_1", 768, 192, 3)
        yield from _dense(f"{key}.ffn_layers.{i}.conv_2", 192, 768, 3)


def _wavenet(key: str, layers: int, gin: int) -> Entries:
    yield from _normed(f"{key}.cond_layer", 384 * layers, gin, 1)
    for i in range(layers):
        yield from _normed(f"{key}.in_layers.{i}", 384, 192, 5)
        yield from _normed(f"{key}.res_skip_layers.{i}", 384 if i < layers - 1 else 192, 192, 1)


def _s2(sizes: Sizes) -> Entries:
    yield from _dense("ssl_proj", 768, 768, 2)
    book = "quantizer.vq.layers.0._codebook"
    yield from ((f"{book}.inited", (1,)), (f"{book}.cluster_size", (1024,)))
    yield from ((f"{book}.embed", (1024, 768)), (f"{book}.embed_avg", (1024, 768)))
    yield from _text(sizes)
    yield from _reference(sizes)
    yield from _decoder(sizes)
    yield from _dense("enc_q.pre", 192, 1025, 1)
    yield from _wavenet("enc_q.enc", 16, sizes.gin)
    yield from _dense("enc_q.proj", 384, 192, 1)
    for i in (0, 2, 4, 6):  # the odd ones swap the halves and hold nothing
        yield from _dense(f"flow.flows.{i}.pre", 192, 96, 1)
        yield from _wavenet(f"flow.flows.{i}.enc", 4, sizes.gin)
        yield from _dense(f"flow.flows.{i}.post", 96, 192, 1)


def _text(sizes: Sizes) -> Entries:
    yield from _dense("enc_p.ssl_proj", 192, 768, 1)
    yield from _encoder("enc_p.encoder_ssl", 3)
    yield from _encoder("enc_p.encoder_text", 6)
    yield "enc_p.text_embedding.weight", (732, 192)
    yield from _attention("enc_p.mrte.cross_attention", 512)
    yield from _dense("enc_p.mrte.c_pre", 512, 192, 1)
    yield from _dense("enc_p.mrte.text_pre", 512, 192, 1)
    yield from _dense("enc_p.mrte.c_post", 192, 512, 1)
    yield from _encoder("enc_p.encoder2", 3)
    yield from _dense("enc_p.proj", 384, 192, 1)


def _reference(sizes: Sizes) -> Entries:
    yield from _dense("ref_enc.spectral.0.fc", 128, 704)
    yield from _dense("ref_enc.spectral.3.fc", 128, 128)
    for i in range(2):
        yield from _dense(f"ref_enc.temporal.{i}.conv1.conv", 256, 128, 5)
    for name in ("w_qs", "w_ks", "w_vs", "fc"):
        yield from _dense(f"ref_enc.slf_attn.{name}", 128, 128)
    yield from _dense("ref_enc.fc.fc", sizes.gin, 128)
    if sizes.speaker:
        yield from _dense("sv_emb", 1024, 20480)
        yield from _dense("ge_to512", 512, 1024)
        yield "prelu.weight", (1024,)


def _decoder(sizes: Sizes) -> Entries:
    yield from _dense("dec.conv_pre", sizes.top, 192, 7)
    yield from _dense("dec.cond", sizes.top, sizes.gin, 1)
    for i, kernel in enumerate(sizes.kernels):
        above, width = sizes.top >> i, sizes.top >> (i + 1)
        yield from _normed(f"dec.ups.{i}", above, width, kernel, outputs=width)
        for j, size in enumerate((3, 7, 11)):
            for name in ("convs1", "convs2"):
                for k in range(3):
                    yield from _normed(f"dec.resblocks.{3 * i + j}.{name}.{k}", width, width, size)
    yield "dec.conv_post.weight", (1, sizes.top >> len(sizes.kernels), 7)


def _s1() -> Entries:
    yield from _dense("bert_proj", 512, 1024)
    yield "ar_text_embedding.word_embeddings.weight", (732, 512)
    yield "ar_text_position.alpha", (1,)
    yield "ar_audio_embedding.word_embeddings.weight", (1025, 512)
    yield "ar_audio_position.alpha", (1,)
    for i in range(24):
        layer = f"h.layers.{i}"
        yield from ((f"{layer}.self_attn.in_proj_weight", (1536, 512)), (f"{layer}.self_attn.in_proj_bias", (1536,)))
        yield from _dense(f"{layer}.self_attn.out_proj", 512, 512)
        yield from _dense(f"{layer}.linear1", 2048, 512)
        yield from _dense(f"{layer}.linear2", 512, 2048)
        yield from _dense(f"{layer}.norm1", 512)
        yield from _dense(f"{layer}.norm2", 512)
    yield "ar_predict_layer.weight", (1025, 512)


def _discriminators(periods: int) -> Entries:
    scale = ((16, 1, 15), (64, 4, 41), (256, 4, 41), (1024, 4, 41), (1024, 4, 41), (1024, 1024, 5))
    for i, shape in enumerate(scale):
        yield from _normed(f"discriminators.0.convs.{i}", *shape)
    yield from _normed("discriminators.0.conv_post", 1, 1024, 3)
    widths = (1, 32, 128, 512, 1024, 1024)
    for i in range(1, periods + 1):
        for j in range(5):
            yield from _normed(f"discriminators.{i}.convs.{j}", widths[j + 1], widths[j], 5, 1)
        yield from _normed(f"discriminators.{i}.conv_post", 1, 1024, 3, 1)
