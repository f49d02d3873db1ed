"""A voice as a folder of graphs: `<network>_<graph>.onnx`, their constants in `<network>.bin`, and a manifest.

The folder appears under its name when it is complete; reading compares every file with the digest in the manifest.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from voicemill.model.checkpoints.sizes import KEY, from_header
from voicemill.model.export.draft import Draft, Precision
from voicemill.model.onnx_graph import IR_VERSION, MICROSOFT, OPERATORS, ConstantFile
from voicemill.storage.errors import CheckpointError
from voicemill.storage.files import whole_folder
from voicemill.storage.keys import file_digest

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest and of the inputs and outputs of the graphs: a later one is refused."""
VOICES = ("full", "light")
_PLAIN = re.compile(r"\w[\w.-]{0,63}")
Sizes = TypeVar("Sizes")


@dataclass(frozen=True)
class GraphFile:
    """Digest and size of a file of the folder."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """Contents of a folder of graphs."""

    voice: str
    """"full" (s1 and s2) or "light"."""
    precision: Precision
    """Precision of the weights: see `voicemill.model.export.draft`."""
    content: str = ""
    """Content encoder that s2 was trained with, as in `voicemill.model.content.names`; "" for a light voice."""
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Network -> its sizes, as in the header of its checkpoint."""
    default_voice: tuple[float, ...] = ()
    """Speaker vector that a light voice speaks as where no recording is given; empty = none."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Network -> number of its weights in the graphs."""
    source: Mapping[str, str] = field(default_factory=dict)
    """Stem -> sha256 of the exported checkpoint."""
    files: Mapping[str, GraphFile] = field(default_factory=dict)
    """Name -> digest and size of every other file of the folder."""
    operators: Mapping[str, int] = field(default_factory=lambda: {"": OPERATORS, MICROSOFT: 1})
    """Version of the operators ("opset") by domain; "" is that of ONNX itself."""
    ir: int = IR_VERSION
    format: int = FORMAT

    def sizes_of(self, kind: type[Sizes], network: str) -> Sizes:
        """Sizes of a network as an `S1Config`, `S2Config`, ...; CheckpointError where the manifest lacks them."""
        sizes = (
            from_header(kind, {KEY: self.sizes[network]}, f"{MANIFEST}, {network}") if network in self.sizes else None
        )
        if sizes is None:
            raise CheckpointError(f"{MANIFEST} gives no sizes of {network}: it is that of a {self.voice} voice")
        return sizes


@dataclass(frozen=True)
class GraphFolder:
    """Folder of graphs with its checked manifest."""

    path: Path
    manifest: Manifest

    def has(self, name: str) -> bool:
        """Whether the folder has a file of that name."""
        return name in self.manifest.files

    @property
    def bytes(self) -> int:
        """Size of all files but the manifest."""
        return sum(file.bytes for file in self.manifest.files.values())

    def bytes_of(self, network: str) -> int:
        """Size of the graphs and constants of one network: "s1", "s2", "light", "content" or "bert"."""
        return sum(file.bytes for name, file in self.manifest.files.items() if re.split(r"[_.]", name)[0] == network)


def read_folder(path: Path | str) -> GraphFolder:
    """Read a folder of graphs and compare every file with its digest.

    Raises:
        CheckpointError: no such folder, no manifest or one of a later version, or a file is missing or damaged.
    """
    path = Path(path)
    again = "make it again with `voicemill compress`"
    if not (path / MANIFEST).is_file():
        raise CheckpointError(f"{path} is not a folder of graphs: it has no {MANIFEST}; {again}")
    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        stated = raw.get("format")
        if type(stated) is int and stated > FORMAT:
            raise CheckpointError(
                f"{path} has graphs of format {stated}, this voicemill reads {FORMAT}: upgrade it, or {again}"
            )
        raw["files"] = {name: GraphFile(**entry) for name, entry in raw["files"].items()}
        manifest = Manifest(**raw)
        if manifest.precision not in get_args(Precision):
            raise ValueError(f"precision is {str(manifest.precision)[:40]!r}, not {', '.join(get_args(Precision))}")
        if manifest.voice not in VOICES:
            raise ValueError(f"voice is {str(manifest.voice)[:40]!r}, not {' or '.join(VOICES)}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path / MANIFEST} is damaged ({type(error).__name__}: {error}); {again}") from error
    for name, file in manifest.files.items():
        if not _PLAIN.fullmatch(name):
            raise CheckpointError(f"{path / MANIFEST} lists the file {name[:60]!r}, which is not a plain name: {again}")
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name} is missing, although {MANIFEST} lists it; {again}")
        if (path / name).stat().st_size != file.bytes or file_digest(path / name) != file.sha256:
            raise CheckpointError(f"{path / name} is damaged: it differs from the digest in {MANIFEST}; {again}")
    return GraphFolder(path, manifest)


class FolderWriter:
    """Writer of the graphs of a folder."""

    def __init__(self, path: Path, precision: Precision) -> None:
        self.path, self.precision = path, precision

    def network(self, name: str, graphs: Sequence[tuple[str, Callable[[Draft], None]]]) -> None:
        """Write the graphs of one network, `<network>_<graph>.onnx`, which share `<network>.bin`."""
        with (self.path / f"{name}.bin").open("wb") as file:
            constants = ConstantFile(f"{name}.bin", file)
            for graph, build in graphs:
                draft = Draft(self.precision, constants)
                build(draft)
                (self.path / f"{name}_{graph}.onnx").write_bytes(draft.graph.model())


@contextmanager
def new_folder(path: Path, precision: Precision, manifest: Callable[[], Manifest]) -> Iterator[FolderWriter]:
    """Write a folder that takes the name `path` at the end, with the manifest made then; nothing if writing fails.

    An existing folder is left as it is: another process wrote it meanwhile.
    """
    with whole_folder(path) as temporary:
        yield FolderWriter(temporary, precision)
        files = {
            file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size}
            for file in sorted(temporary.iterdir())
        }
        text = json.dumps(asdict(manifest()) | {"files": files}, indent=1, ensure_ascii=False)
        (temporary / MANIFEST).write_text(text, encoding="utf-8")
    if not (path / MANIFEST).is_file():
        raise FileExistsError(f"{path} exists and is not a voice: give the name of a new folder")
