"""Voices from a folder of graphs: `Voice` or `LightVoice` with networks that ONNX Runtime computes.

Text front end, sampling, noise and watermark are those of every voice, so the same seed gives the same speech.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from voicemill.model.content.encoders import cepstra
from voicemill.model.content.names import CEPSTRA, whisper_layer
from voicemill.model.content.whisper import WhisperFeatures
from voicemill.model.device import DeviceChoice
from voicemill.model.export.draft import Precision
from voicemill.model.export.exporting import VOCABULARY, cached_export
from voicemill.model.export.folder import GraphFolder, read_folder
from voicemill.model.export.light_voice import OnnxLightVoice
from voicemill.model.export.rendering import OnnxSynthesizer
from voicemill.model.export.running import OnnxContent, OnnxEngine, Session
from voicemill.model.light.voice import LightVoice
from voicemill.model.speaking.reference import Content
from voicemill.model.speaking.voice import Voice
from voicemill.model.text.bert import BertFeatures
from voicemill.storage.errors import ConfigError


def load_onnx_voice(folder: GraphFolder | Path | str, content: str = "", bert: str = "", threads: int = 0) -> Voice:
    """Load a voice from its graphs. `content`: expected content encoder, "" = any.

    `bert`: BERT by hub id or folder, computed by torch, for a folder without a graph of it. `threads`: 0 = as many as
    PyTorch uses.

    Raises:
        CheckpointError: as `read_folder`, or ONNX Runtime cannot read a graph.
        ConfigError: the graphs were made with another content encoder, or are of a light voice.
        ModelMissing: `bert` is not on this machine.
    """
    opened = folder if isinstance(folder, GraphFolder) else read_folder(folder)
    made_with = opened.manifest.content
    if opened.manifest.voice != "full":
        raise ConfigError(f"{opened.path} holds graphs of a {opened.manifest.voice} voice: open it with `open_voice`")
    if content and content != made_with:
        raise ConfigError(
            f"content = {content!r}: the graphs in {opened.path} hold {made_with!r}, which their s2 was trained with: "
            "leave --content out"
        )
    s2 = OnnxSynthesizer(opened, threads)
    encoder = _content(opened, s2.config.ssl_dim, threads)
    features = OnnxBert(opened, threads) if opened.has("bert_features.onnx") else BertFeatures(bert) if bert else None
    return Voice(OnnxEngine(opened, threads), s2, encoder, features)


def _content(folder: GraphFolder, dims: int, threads: int) -> Content:
    """Content encoder of a folder; spectra and normalisation are computed outside of its graph."""
    name = folder.manifest.content
    if name in CEPSTRA:
        return cepstra(name)
    if layer := whisper_layer(name):
        session = Session(folder, "content_features", threads)
        return WhisperFeatures(lambda mel: torch.from_numpy(session(mel=mel)[0]), normalise=layer[1])
    return OnnxContent(folder, dims, threads)


def open_as_graphs(
    weights: Mapping[str, Path | str],
    content: str = "",
    bert: str = "",
    precision: str = "auto",
    device: DeviceChoice = "auto",
) -> Voice | LightVoice:
    """Open a voice for the engine "onnx": from `weights["onnx"]`, a folder of graphs, else from weights exported into a
    cache first, with a warning as that takes time. `precision`: precision of the exported graphs; auto = float32.

    Raises ConfigError for a GPU, or a precision that the graphs do not have; else as `load_onnx_voice`, `export_voice`.
    """
    if device == "cuda":
        raise ConfigError("device = 'cuda' with engine 'onnx': graphs run on the CPU; use engine 'torch' on a GPU")
    if "onnx" in weights:
        folder = read_folder(weights["onnx"])
        if precision not in ("auto", folder.manifest.precision):
            raise ConfigError(
                f"precision = {precision!r}: the graphs in {folder.path} are in {folder.manifest.precision}: leave it "
                "out, or make others with `voicemill compress --precision`"
            )
        return _open(folder, content, bert)
    chosen = "float32" if precision in ("auto", "reference") else precision
    if chosen not in get_args(Precision):
        raise ConfigError(f"precision = {precision!r} with engine 'onnx': expected {', '.join(get_args(Precision))}")
    folder, fresh = cached_export(weights, chosen, content, bert)  # type: ignore[arg-type]  # checked above
    if fresh:
        warnings.warn(f"exported this voice to ONNX graphs, which later runs reuse: {folder.path}", stacklevel=3)
    return _open(folder, "", bert)


def _open(folder: GraphFolder, content: str, bert: str) -> Voice | LightVoice:
    return OnnxLightVoice(folder) if folder.manifest.voice == "light" else load_onnx_voice(folder, content, bert)


class OnnxBert(BertFeatures):
    """BERT as a graph; the tokenizer is read from its vocabulary."""

    def __init__(self, folder: GraphFolder, threads: int = 0) -> None:
        from transformers import BertTokenizerFast

        self.tokenizer: Any = BertTokenizerFast(str(folder.path / VOCABULARY))
        self.session = Session(folder, "bert_features", threads)
        self.longest = int(folder.manifest.sizes["bert"]["positions"]) - 2

    def _hidden(self, ids: list[int]) -> Tensor:
        framed = [self.tokenizer.cls_token_id, *ids, self.tokenizer.sep_token_id]
        return torch.from_numpy(self.session(tokens=torch.tensor([framed]))[0][0, 1:-1])
