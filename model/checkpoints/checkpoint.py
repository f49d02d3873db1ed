"""One file of weights: its kind and version, identified by content, and its tensors under the names of the modules.

Official files (GPT-SoVITS): `{"weight": ..., "config": ..., "info": ...}` for inference; `{"model": ..., "iteration":
...}` from which the training of s2 resumes; Lightning's `{"state_dict": ...}` for s1. Our own: one `.safetensors` file
with a JSON text in its header. All are recognised by content: names and sizes of files mean nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from voicemill.model.checkpoints import pickles, torchfile
from voicemill.model.checkpoints.layout import KINDS, POSTERIOR, VERSIONS, Kind, Shape, layout
from voicemill.model.tensor_file import check_header
from voicemill.storage.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

Form: TypeAlias = Literal["small", "resume", "lightning", "own"]

SUPPORTED = "supported are v2, v2Pro and v2ProPlus"
MARKERS = {"05": "v2Pro", "06": "v2ProPlus"}
"""Digits in place of `PK` at the start of the file -> version."""
LORA = {"03": "v3", "04": "v4"}
METADATA = "voicemill"
"""Key of the JSON text in the header of our own files."""
FORMAT = 1

_HOLDERS: tuple[tuple[str, Form], ...] = (("weight", "small"), ("model", "resume"), ("state_dict", "lightning"))
_S1_PREFIX = "model."


@dataclass(frozen=True)
class Checkpoint:
    """Weights of one network with their description."""

    kind: Kind
    version: str
    """v2, v2Pro or v2ProPlus; s1 is always v2 (all versions share it); discriminators are v2 or v2Pro."""
    weights: Mapping[str, "Tensor"] = field(repr=False)
    """Keys as the modules name them (s1: without the official prefix `model.`); dtypes as in the file."""
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Sizes and training settings of the file: plain containers, numbers and strings."""
    info: str = ""
    """Free text of its writer, such as "8epoch_123iteration"."""
    lineage: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Origin of our own files: corpus version, parent checkpoint, settings."""
    form: Form = "own"
    source: Path | None = None

    @property
    def posterior(self) -> bool:
        """Whether the file has the posterior encoder of s2, which only further training needs."""
        return any(key.startswith(POSTERIOR) for key in self.weights)


def read(path: Path | str) -> Checkpoint:
    """Read an official file or one of ours; nothing in it is run.

    Raises:
        CheckpointError: not a checkpoint, damaged, of a version that is not supported, or with other tensors than that
            version has. The message names the file, the first tensors concerned and how many there are.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file: give the path of a .pth, .ckpt or .safetensors")
    with path.open("rb") as file:
        head = file.read(9)
    return _own(path) if head[8:] == b"{" else _official(path)


# -- official files


def _official(path: Path) -> Checkpoint:
    with torchfile.open_torchfile(path) as file:
        if file.marker in LORA:
            _unsupported(path, f"a LoRA of {LORA[file.marker]} (marker {file.marker})")
        value = file.value
        if not isinstance(value, dict):
            raise CheckpointError(f"{path}: holds a {type(value).__name__}, not a dictionary with weights")
        if "lora_rank" in value:
            _unsupported(path, "a LoRA of v3 or v4")
        holders: list[tuple[str, Form]] = [pair for pair in _HOLDERS if isinstance(value.get(pair[0]), dict)]
        if not holders:
            names = ", ".join(_brief(key) for key in list(value)[:4]) or "nothing"
            raise CheckpointError(f"{path}: has no dictionary 'weight', 'model' or 'state_dict'; it has {names}")
        holder, form = holders[0]
        references = _references(path, value[holder])
        kind, version = identify(path, {key: tensor.shape for key, tensor in references.items()}, file.marker)
        if kind == "s1":
            references = {key.removeprefix(_S1_PREFIX): tensor for key, tensor in references.items()}
        check(path, {key: tensor.shape for key, tensor in references.items()}, kind, version)
        weights = {key: file.tensor(reference) for key, reference in references.items()}
    integers = [key for key, tensor in weights.items() if not tensor.is_floating_point()]
    if integers:
        raise CheckpointError(f"{path}: {integers[0]} and {len(integers) - 1} more hold integers: no weights")
    hyper = value.get("hyper_parameters")
    config = value.get("config", hyper.get("config") if isinstance(hyper, dict) else None)
    if not isinstance(config, dict | None):
        raise CheckpointError(f"{path}: its config is a {type(config).__name__}, not a dictionary")
    info = _brief(value["info"]) if "info" in value else ""
    if "iteration" in value and not info:
        info = f"iteration {_brief(value['iteration'])}"
    return Checkpoint(
        kind=kind,
        version=version,
        weights=weights,
        config=plain(config or {}, path),
        info=info,
        lineage={},
        form=form,
        source=path,
    )


def _brief(value: Any) -> str:
    """Short text for any value of a file, however large or nested."""
    if isinstance(value, str):
        return value[:80]
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return str(value)
    return f"a {type(value).__name__}"


def _references(path: Path, weights: Mapping[Any, Any]) -> dict[str, pickles.Tensor]:
    for key, tensor in weights.items():
        if not isinstance(key, str) or not isinstance(tensor, pickles.Tensor):
            raise CheckpointError(f"{path}: {_brief(key)!r} among its weights is a {type(tensor).__name__}, no tensor")
    return dict(weights)


def identify(path: Path, shapes: Mapping[str, Shape], marker: str = "") -> tuple[Kind, str]:
    """Kind and version by tensors that only one of them has. Raises CheckpointError for a contradicting marker."""
    if any("lora_" in key for key in shapes):
        _unsupported(path, "a LoRA of v3 or v4")
    if any(key.startswith(("cfm.", "wns1.")) for key in shapes):
        _unsupported(path, "the s2 of v3 or v4")
    kind, version = _by_tensors(path, shapes)
    if kind == "s2" and MARKERS.get(marker, version) != version:
        raise CheckpointError(f"{path}: marked as {MARKERS[marker]}, but its tensors are those of {version}")
    return kind, version


def _by_tensors(path: Path, shapes: Mapping[str, Shape]) -> tuple[Kind, str]:
    prefixed = any(key.startswith(_S1_PREFIX) for key in shapes)
    if phones := shapes.get(f"{_S1_PREFIX if prefixed else ''}ar_text_embedding.word_embeddings.weight"):
        if phones[:1] == (512,):
            _unsupported(path, "the s1 of v1 (512 phones)")
        return "s1", "v2"
    if phones := shapes.get("enc_p.text_embedding.weight"):
        if phones[:1] == (322,):
            _unsupported(path, "the s2 of v1 (322 phones)")
        if "sv_emb.weight" not in shapes:
            return "s2", "v2"
        return "s2", "v2ProPlus" if shapes.get("dec.conv_pre.weight", ())[:1] == (768,) else "v2Pro"
    if any(key.startswith("discriminators.") for key in shapes):
        return "s2_discriminator", "v2Pro" if any(key.startswith("discriminators.7.") for key in shapes) else "v2"
    names = ", ".join(key[:60] for key in list(shapes)[:3]) or "nothing"
    raise CheckpointError(f"{path}: no part of GPT-SoVITS: its {len(shapes)} tensors are {names} ...; {SUPPORTED}")


def _unsupported(path: Path, kind: str) -> NoReturn:
    raise CheckpointError(f"{path} is {kind}; {SUPPORTED}: give files of one of these")


def check(path: Path | None, shapes: Mapping[str, Shape], kind: Kind, version: str) -> None:
    """Compare shapes with the layout of a version; the posterior encoder may be missing as a whole.

    Raises:
        CheckpointError: tensors are missing, unknown or of another shape.
    """
    if kind == "light":
        raise CheckpointError(f"{path or 'these weights'}: a light system, which GPT-SoVITS does not have")
    expected = layout(kind, version)
    if kind == "s2" and not any(key.startswith(POSTERIOR) for key in shapes):
        expected = {key: shape for key, shape in expected.items() if not key.startswith(POSTERIOR)}
    if listing := differences(shapes, expected):
        raise CheckpointError(f"{path or 'these weights'}: not the {kind} of {version}: {listing}")


def differences(shapes: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    """Listing of the differences, the first three of each sort with their number; "" where there are none."""
    missing = [key for key in expected if key not in shapes]
    unknown = [key[:80] for key in shapes if key not in expected]
    wrong = [
        f"{key} {list(shapes[key])} instead of {list(expected[key])}"
        for key in expected
        if key in shapes and shapes[key] != expected[key]
    ]
    sorts = (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
    return "; ".join(
        f"{len(keys)} {sort}: {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''}" for sort, keys in sorts if keys
    )


# -- our own files


def _own(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(METADATA, "")
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or cut off ({error}): {torchfile.AGAIN}") from error
    if not header:
        raise CheckpointError(f"{path}: a safetensors file, but not of voicemill: its header has no {METADATA!r}")
    try:
        about = json.loads(header)
        known = about["format"], about["kind"], about["version"]
        config, info, lineage = dict(about["config"]), str(about["info"]), dict(about["lineage"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: the {METADATA!r} of its header is damaged: {torchfile.AGAIN}") from error
    if known[0] != FORMAT or known[1] not in KINDS or known[2] not in list(VERSIONS):
        raise CheckpointError(
            f"{path}: format {_brief(known[0])}, kind {_brief(known[1])}, version {_brief(known[2])}; expected "
            f"format {FORMAT} of {', '.join(KINDS)}; {SUPPORTED}"
        )
    return Checkpoint(
        kind=known[1],
        version=known[2],
        weights=weights,
        config=config,
        info=info,
        lineage=lineage,
        form="own",
        source=path,
    )


def plain(value: Any, path: Path | None, limit: int = 100_000) -> Any:
    """Copy of a value with the types of JSON only; tuples become lists.

    Raises:
        CheckpointError: it holds another type, is deeper than 20 levels or has more than `limit` parts.
    """
    remaining = limit

    def copied(part: Any, depth: int) -> Any:
        nonlocal remaining
        remaining -= 1
        if remaining < 0 or depth > 20:  # a pickle can refer to one list a million times, and to itself
            raise CheckpointError(f"{path or 'config'}: a config of over {limit} parts or 20 levels: no config")
        if part is None or isinstance(part, str | float) or (isinstance(part, int) and part.bit_length() <= 64):
            return part
        if isinstance(part, Mapping):
            return {str(copied(key, depth + 1)): copied(item, depth + 1) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return [copied(item, depth + 1) for item in part]
        raise CheckpointError(f"{path or 'config'}: a {type(part).__name__} in the config, where values belong")

    return copied(value, 0)
