"""Export of the weights of any kind of voice to a folder of graphs.

`cached_export` names the folder by the digest of everything that it depends on, so that a voice is exported once.
"""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from voicemill.model.checkpoints.loading import load_s1
from voicemill.model.checkpoints.sizes import KEY, header
from voicemill.model.content.encoders import load_encoder
from voicemill.model.content.names import is_builtin, split_layer
from voicemill.model.content.pretrained import Encoder
from voicemill.model.content.whisper import WhisperEncoder
from voicemill.model.device import place
from voicemill.model.export import VERSION, encoders, light, s1, s2, s2_prior
from voicemill.model.export.draft import Precision
from voicemill.model.export.folder import FORMAT, FolderWriter, GraphFolder, Manifest, new_folder, read_folder
from voicemill.model.hub import resolve
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.spectral import SpectralVocoder
from voicemill.model.light.system import PARTS, SPEAKER, LightSystem, load_light
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.s2.weight_norm import fold
from voicemill.model.speaking.loading import SETTING, s2_with_content
from voicemill.model.text.bert import BertFeatures
from voicemill.storage.errors import CheckpointError, ConfigError
from voicemill.storage.files import abandoned
from voicemill.storage.keys import digest, file_digest, folder_digest
from voicemill.storage.units import Seconds
from voicemill.storage.voices.cards import CARD, GRAPHS

VOCABULARY = "bert_vocab.txt"
"""Vocabulary of BERT in order, one word a line."""
ABANDONED: Seconds = 86_400.0
"""Age at which a half-written folder counts as abandoned."""
Weights = Mapping[str, Path | str]


def export_voice(
    weights: Weights, path: Path, precision: Precision = "float32", content: str = "", bert: str = ""
) -> GraphFolder:
    """Write all networks of a voice as graphs. `weights`, `content` and `bert`: see `open_voice`.

    A full voice takes 4 s and twice its size in memory.

    Raises:
        ConfigError: the weights do not make a voice, or graphs do not support the sizes or the precision.
        CheckpointError, ModelMissing: as `load_voice`.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision = {precision!r}: expected {', '.join(get_args(Precision))}")
    if "light" in weights and not {"s1", "s2"} <= weights.keys():
        return _light(weights, path, precision)
    if missing := [stem for stem in ("s1", "s2") if stem not in weights]:
        raise ConfigError(f"no weights of {missing[0]}: given are {', '.join(weights) or 'none'}")
    return _full(weights, path, precision, content, bert)


def _full(weights: Weights, path: Path, precision: Precision, content: str, bert: str) -> GraphFolder:
    first, (second, trained_with) = load_s1(weights["s1"]), s2_with_content(weights["s2"])
    s1.check(first.config, precision)
    if first.config.codes != second.config.codebook:
        raise ConfigError(
            f"{weights['s1']} predicts {first.config.codes} codes, {weights['s2']} has {second.config.codebook}: give "
            "an s1 that was trained with this s2"
        )
    name = content or trained_with
    source = {stem: file_digest(Path(weights[stem])) for stem in ("s1", "s2")}
    parameters: dict[str, int] = {}
    sizes: dict[str, dict[str, Any]] = {}

    def manifest() -> Manifest:
        sizes.update({"s1": header(first.config)[KEY], "s2": header(second.config)[KEY]})
        return Manifest(
            voice="full", precision=precision, content=name, sizes=sizes, parameters=parameters, source=source
        )

    with torch.inference_mode(), new_folder(path, precision, manifest) as writer:
        parameters |= {"s1": write_s1(writer, first), "s2": write_s2(writer, second)}
        encoder = load_encoder(name, SETTING, place("cpu", "float32"))
        if isinstance(encoder, WhisperEncoder):
            writer.network("content", [("features", partial(encoders.whisper, network=encoder.network))])
            parameters["content"] = encoder.network.parameter_count
        elif isinstance(encoder, Encoder):
            writer.network("content", [("features", partial(encoders.content, encoder=encoder))])
            parameters["content"] = _count(encoder.model) + _count(encoder.front)
        if bert:
            features = BertFeatures(bert)
            writer.network("bert", [("features", lambda draft: encoders.bert(draft, features))])
            words = sorted(features.tokenizer.get_vocab().items(), key=lambda item: item[1])
            (writer.path / VOCABULARY).write_text("\n".join(word for word, _ in words), encoding="utf-8")
            parameters["bert"] = _count(features.model)
            sizes["bert"] = {"positions": features.longest + 2}
    return read_folder(path)


def _light(weights: Weights, path: Path, precision: Precision) -> GraphFolder:
    system = load_light(weights["light"])
    own = [name for name in PARTS if name != SPEAKER or not isinstance(system.speaker, Ge2e)]
    networks = {name: getattr(system, name) for name in own}
    parameters = {name: _count(network) for name, network in networks.items()}
    source = {"light": file_digest(Path(weights["light"]))}

    def manifest() -> Manifest:
        sizes = {name: header(network.config)[KEY] for name, network in networks.items()}
        voice = () if system.default_voice is None else tuple(system.default_voice.tolist())
        return Manifest(
            voice="light",
            precision=precision,
            sizes=sizes,
            parameters=parameters,
            source=source,
            default_voice=voice,
        )

    with torch.inference_mode(), new_folder(path, precision, manifest) as writer:
        write_light(writer, system)
    return read_folder(path)


def write_light(writer: FolderWriter, system: LightSystem) -> None:
    """Write the graphs of the light system."""
    fold(system)
    acoustic = [("encode", light.encode), ("decode", light.decode)]
    if not isinstance(system.speaker, Ge2e):
        writer.network("speaker", [("embedding", partial(light.speaker, encoder=system.speaker))])
    writer.network("acoustic", [(name, partial(build, acoustic=system.acoustic)) for name, build in acoustic])
    vocoder = system.vocoder
    spectral = isinstance(vocoder, SpectralVocoder)
    build = partial(light.spectral, vocoder=vocoder) if spectral else partial(s2.generator, dec=vocoder)
    writer.network("vocoder", [("wave", build)])


def write_s1(writer: FolderWriter, model: Text2Semantic) -> int:
    """Write the graphs of s1; return their number of weights."""
    scales = s1.scales_of(model) if writer.precision == "int8" else None
    first = ("first", lambda draft: s1.first_step(draft, model, scales))
    writer.network("s1", [first, ("next", lambda draft: s1.next_step(draft, model, scales))])
    return _count(model)


def write_s2(writer: FolderWriter, model: Synthesizer) -> int:
    """Write the graphs of s2, without its posterior encoder; return their number of weights, codebook included."""
    if hasattr(model, "enc_q"):
        del model.enc_q
    fold(model)
    graphs = {"reference": s2.reference, "codes": s2.codes, "prior": s2_prior.prior, "flow": s2.flow}
    written = [(name, partial(build, s2=model)) for name, build in graphs.items()]
    writer.network("s2", [*written, ("generator", partial(s2.generator, dec=model.dec))])
    return _count(model) + int(model.quantizer.embed.numel())


def cached_export(
    weights: Weights, precision: Precision = "float32", content: str = "", bert: str = "", root: Path | None = None
) -> tuple[GraphFolder, bool]:
    """Return the folder of these weights in a cache, and whether it was exported now.

    `root`: folder of the cache; None = `cache_root` of the weights.
    """
    root = root or cache_root(weights)
    full = {"s1", "s2"} <= weights.keys()
    stems = ("s1", "s2") if full else ("light",)
    files = {stem: Path(weights[stem]) for stem in stems if stem in weights}
    digests = {stem: file_digest(path) for stem, path in files.items() if path.is_file()}
    content, bert = (content or s2_with_content(weights["s2"])[1], bert) if full else ("", "")
    models = [_model_digest(name) if name and not is_builtin(name) else name for name in (content, bert)]
    key = digest([VERSION, FORMAT, precision, digests, models])[:24]
    for path in abandoned(root, ABANDONED):
        shutil.rmtree(path, ignore_errors=True)
    if (root / key).is_dir():
        try:
            return read_folder(root / key), False
        except CheckpointError:  # a damaged cache is written again
            shutil.rmtree(root / key)
    return export_voice(weights, root / key, precision, content, bert), True


def _model_digest(name: str) -> str:
    model, layer = split_layer(name)
    folder = folder_digest(resolve(model, SETTING))
    return folder if layer == -1 else f"{folder}#{layer}"


def cache_root(weights: Weights) -> Path:
    """Folder of the cached graphs of these weights.

    Graphs of an entry of a store stay in the store, beside its voice and under its number, so that they are retired and
    erased with the entry; others are in the user's cache, `$XDG_CACHE_HOME/voicemill/onnx`. Either may be removed at
    any time.
    """
    for path in weights.values():
        entry = Path(path).absolute().parent
        if (entry / CARD).is_file() and entry.name.isdigit() and os.access(entry.parent, os.W_OK):
            return entry.parent / GRAPHS / entry.name
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "voicemill" / "onnx"


def _count(module: Any) -> int:
    return sum(int(parameter.numel()) for parameter in module.parameters())
