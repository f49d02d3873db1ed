"""A voice as a folder of graphs: `<network>_<graph>.onnx`, their constants in `<network>.bin`, and a manifest.

The folder appears under its name when it is whole; every file is compared with the digest in the manifest when it is
read.
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
"""Of the manifest and of what the graphs take and give: a later one is refused."""
VOICES = ("full", "light")
_PLAIN = re.compile(r"\w[\w.-]{0,63}")
Sizes = TypeVar("Sizes")


@dataclass(frozen=True)
class GraphFile:
    """A file of the folder."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a folder of graphs holds."""

    voice: str
    """"full" (s1 and s2) or "light"."""
    precision: Precision
    """Of the weights: see `voicemill.model.export.draft`."""
    content: str = ""
    """The content encoder that s2 was trained with: a hub id, a folder, or "mfcc"; "" for a light voice."""
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Network -> its sizes, as in the header of its checkpoint."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Network -> how many weights of it speak."""
    source: Mapping[str, str] = field(default_factory=dict)
    """Stem -> sha256 of the checkpoint that it was exported from."""
    files: Mapping[str, GraphFile] = field(default_factory=dict)
    """Name -> digest and size of every other file of the folder."""
    operators: Mapping[str, int] = field(default_factory=lambda: {"": OPERATORS, MICROSOFT: 1})
    """Version of the operators ("opset") by domain; "" is that of ONNX itself."""
    ir: int = IR_VERSION
    format: int = FORMAT

    def sizes_of(self, kind: type[Sizes], network: str) -> Sizes:
        """An `S1Config`, `S2Config`, ... of the sizes; CheckpointError where there are none."""
        found = (
            from_header(kind, {KEY: self.sizes[network]}, f"{MANIFEST}, {network}") if network in self.sizes else None
        )
        if found is None:
            raise CheckpointError(f"{MANIFEST} gives no sizes of {network}: it is that of a {self.voice} voice")
        return found


@dataclass(frozen=True)
class GraphFolder:
    """A folder that was read."""

    path: Path
    manifest: Manifest

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return name in self.manifest.files

    @property
    def bytes(self) -> int:
        """Of all files but the manifest."""
        return sum(file.bytes for file in self.manifest.files.values())

    def bytes_of(self, network: str) -> int:
        """Of the graphs and constants of one network: "s1", "s2", "light", "content" or "bert"."""
        return sum(file.bytes for name, file in self.manifest.files.items() if re.split(r"[_.]", name)[0] == network)


def read_folder(path: Path | str) -> GraphFolder:
    """A folder of graphs, every file compared with its digest.

    Raises:
        CheckpointError: no such folder, no manifest, one of a later version, or a file that is missing or damaged.
    """
    path = Path(path)
    again = "make it anew with `voicemill compress`"
    if not (path / MANIFEST).is_file():
        raise CheckpointError(f"{path} is no folder of graphs: expected {MANIFEST} in it; {again}")
    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        found = raw.get("format")
        if type(found) is int and found > FORMAT:
            raise CheckpointError(
                f"{path} has graphs of format {found}, this voicemill reads {FORMAT}: upgrade it, or {again}"
            )
        raw["files"] = {name: GraphFile(**each) for name, each in raw["files"].items()}
        manifest = Manifest(**raw)
        if manifest.precision not in get_args(Precision):
            raise ValueError(f"precision is {str(manifest.precision)[:40]!r}, not {', '.join(get_args(Precision))}")
        if manifest.voice not in VOICES:
            raise ValueError(f"voice is {str(manifest.voice)[:40]!r}, not {' or '.join(VOICES)}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path / MANIFEST} is damaged ({type(error).__name__}: {error}); {again}") from error
    for name, file in manifest.files.items():
        if not _PLAIN.fullmatch(name):
            raise CheckpointError(f"{path / MANIFEST} names the file {name[:60]!r}, which is no plain name: {again}")
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name} is missing, which {MANIFEST} names; {again}")
        if (path / name).stat().st_size != file.bytes or file_digest(path / name) != file.sha256:
            raise CheckpointError(f"{path / name} is damaged: it is not what {MANIFEST} says; {again}")
    return GraphFolder(path, manifest)


class FolderWriter:
    """Graphs on their way into a folder."""

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
    """A folder that takes the name `path` at the end, with the manifest that is made then; nothing where writing fails.

    A folder that is there already is left as it is: it was written by another process meanwhile.
    """
    with whole_folder(path) as temporary:
        yield FolderWriter(temporary, precision)
        files = {each.name: {"sha256": file_digest(each), "bytes": each.stat().st_size} for each in temporary.iterdir()}
        text = json.dumps(asdict(manifest()) | {"files": files}, indent=1, ensure_ascii=False)
        (temporary / MANIFEST).write_text(text, encoding="utf-8")
    if not (path / MANIFEST).is_file():
        raise FileExistsError(f"{path} is there already and is no voice: give the name of a new folder")
