"""Loading of a voice or a bank from files, in the precision that fits the machine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch import nn

from voicemill.model.adapters.files import load, read_voice
from voicemill.model.adapters.lora import merge
from voicemill.model.checkpoints.checkpoint import read
from voicemill.model.checkpoints.loading import load_s1, load_s2
from voicemill.model.content.encoders import load_encoder
from voicemill.model.content.mfcc import Mfcc
from voicemill.model.content.names import MFCC
from voicemill.model.device import DeviceChoice, convolves_bf16_faster, place
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.engines import Precision, engine
from voicemill.model.s1.prefix import Engine
from voicemill.model.s2.inference import prepare
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Network
from voicemill.model.speaking.bank import VoiceBank
from voicemill.model.speaking.reference import Content
from voicemill.model.speaking.voice import Voice
from voicemill.model.text.bert import BertFeatures
from voicemill.storage.errors import ConfigError

SETTING = "--content"
HUBERT = "TencentGameMate/chinese-hubert-base"
"""Content encoder of the official checkpoints of GPT-SoVITS."""
VOICE = "voice"


def load_voice(
    s1: Path | str,
    s2: Path | str,
    *,
    content: str = "",
    bert: str = "",
    precision: str = "auto",
    device: DeviceChoice = "auto",
    adapters: Iterable[Path | str] = (),
) -> Voice:
    """Load a voice from two checkpoints, official or ours, and models by hub id or folder. Nothing is downloaded.

    `content`: encoder that s2 was trained with, by hub id or folder, or a name of
    `voicemill.model.content.encoders`; empty = the one that the checkpoint of s2 names, else the HuBERT of GPT-SoVITS.
    `precision`: auto (on a CPU s1 in int8, and s2 in bfloat16 where that is faster), float32, bfloat16, float16 (GPU),
    or int8 (CPU: most of s2 too; the fastest, and a little rougher). The content encoder and the reference, computed
    once for a voice, are always float32.
    `adapters`: folders of adapters to add to the weights, one of s1, one of s2, or both.

    Raises:
        CheckpointError: a file is not a checkpoint of that kind; an adapter is damaged or was made for another base.
        ModelMissing: `content` or `bert` is not on this machine; the message names the command that fetches it.
        ConfigError: this machine does not support the precision, or the models do not fit each other.
    """
    loaded = _load(s1, s2, content, bert, precision, device)
    if folders := list(adapters):
        networks: dict[Network, nn.Module] = {"s1": loaded.s1, "s2": loaded.s2}
        for network, adapter in read_voice(folders).items():
            load(networks[network], adapter, VOICE)
            merge(networks[network])
    return Voice(loaded.engine(loaded.s1), loaded.renderer(loaded.s2), loaded.content, loaded.bert)


def load_bank(
    s1: Path | str,
    s2: Path | str,
    *,
    content: str = "",
    bert: str = "",
    precision: str = "auto",
    device: DeviceChoice = "auto",
    keep: int = 2,
) -> VoiceBank:
    """Load a base for several voices; `keep`: number of voices whose engines are held. Else as `load_voice`."""
    loaded = _load(s1, s2, content, bert, precision, device)
    return VoiceBank(loaded.s1, loaded.s2, loaded.engine, loaded.renderer, loaded.content, loaded.bert, keep)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """Networks as read from their files, and the functions that take them over and make them ready to speak."""

    s1: Text2Semantic
    s2: Synthesizer
    engine: Callable[[Text2Semantic], Engine]
    renderer: Callable[[Synthesizer], Synthesizer]
    content: Content
    bert: BertFeatures | None


def _load(s1: Path | str, s2: Path | str, content: str, bert: str, precision: str, device: DeviceChoice) -> _Loaded:
    if precision not in get_args(Precision):
        raise ConfigError(f"precision = {precision!r}: expected {', '.join(get_args(Precision))}")
    where = place(device, "float32")
    exact = precision in ("float32", "reference") or (precision == "auto" and not convolves_bf16_faster())
    rendering = place(device, "float32" if exact else "auto")
    synthesizer, trained_with = s2_with_content(s2)
    name = content or trained_with
    encoder = load_encoder(name, SETTING, where)
    text2semantic = load_s1(s1)
    if text2semantic.config.codes != synthesizer.config.codebook:
        raise ConfigError(
            f"{s1} predicts {text2semantic.config.codes} codes, {s2} has {synthesizer.config.codebook}: give an s1 "
            "that was trained with this s2"
        )
    return _Loaded(
        s1=text2semantic,
        s2=synthesizer,
        engine=lambda module: engine(module.to(where.device), precision),  # type: ignore[arg-type]  # checked above
        renderer=lambda module: prepare(module, rendering, eight_bits=precision == "int8"),
        content=encoder,
        bert=BertFeatures(bert, where.device) if bert else None,
    )


def s2_with_content(path: Path | str) -> tuple[Synthesizer, str]:
    """Load s2 and return it with the name of the content encoder it was trained with."""
    checkpoint = read(path)
    module = load_s2(checkpoint)
    usual = MFCC if module.config.ssl_dim == Mfcc.dims else HUBERT
    return module, str(checkpoint.lineage.get("content") or usual)
