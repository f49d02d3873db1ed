"""Cache of the files that `scan` has read: `<store>/stages/scan/<inbox id>.parquet`, one row for each file.

A file is read when it is new or touched: its bytes are hashed and its header is parsed. Deleting the cache costs one
hash of every file. It holds transcripts, so forgetting a speaker deletes it.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.storage.audio.reading import open_audio
from voicemill.storage.corpus.rows import schema_of, to_table
from voicemill.storage.errors import AudioError, ConfigError
from voicemill.storage.files import whole_file
from voicemill.storage.inbox.decoding import decode_table
from voicemill.storage.inbox.inbox import MOST_TEXT, Inbox, download_path
from voicemill.storage.inbox.layouts import decode_text
from voicemill.storage.inbox.listing import InboxFile, Problem, extension, without_extension
from voicemill.storage.inbox.metadata import normalise_text
from voicemill.storage.inbox.transcripts.rows import Passage
from voicemill.storage.inbox.transcripts.rttm import read_rttm, turns_of
from voicemill.storage.inbox.transcripts.subtitles import read_subtitles
from voicemill.storage.inbox.transcripts.textgrid import TEXTGRID, read_textgrid
from voicemill.storage.keys import file_digest
from voicemill.storage.records import Turn
from voicemill.storage.store import Store


@dataclass(frozen=True)
class CachedFile:
    """A file that was read: an upload with its digest and header, or a sidecar with its text."""

    path: str = ""
    size: int = 0
    stamp: str = ""
    """`InboxFile.stamp` when it was read; it begins with the time of the content."""
    sha256: str = ""
    codec: str = ""
    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    text: str = ""


@dataclass
class ListingCache:
    """Cache of one inbox, loaded at the start of a scan and saved at its end."""

    file: Path
    seen: dict[str, CachedFile] = field(default_factory=dict)
    hashed: int = 0
    """Number of uploads read in this scan."""
    _changed: bool = False

    @classmethod
    def load(cls, store: Store, inbox_id: str) -> "ListingCache":
        """Load the cache; empty where the file is missing, damaged or of another layout."""
        file = store.stages / "scan" / f"{inbox_id}.parquet"
        try:
            with pq.ParquetFile(file) as parquet:
                table = parquet.read()
        except (OSError, pa.ArrowException):
            return cls(file)
        if table.schema.remove_metadata() != schema_of(CachedFile):
            return cls(file)
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)  # half the time of `from_table`
        return cls(file, {row[0]: CachedFile(**dict(zip(table.column_names, row, strict=True))) for row in rows})

    def recall(self, entry: InboxFile) -> CachedFile | None:
        """The cached file, if it has not been touched since."""
        seen = self.seen.get(entry.path)
        return seen if seen and entry.stamp and (seen.size, seen.stamp) == (entry.size, entry.stamp) else None

    def unmodified(self, entry: InboxFile) -> CachedFile | None:
        """The cached file, if its size and the time of its content have not changed."""
        seen = self.seen.get(entry.path)
        if seen is None or not entry.stamp or seen.size != entry.size:
            return None
        return seen if seen.stamp.split(" ")[0] == entry.stamp.split(" ")[0] else None

    def learn(self, seen: CachedFile) -> None:
        """Add a file that was read."""
        self.seen[seen.path] = seen
        self.hashed += bool(seen.sha256)
        self._changed = True

    def save(self, present: set[str]) -> None:
        """Write the cache without files that are not present; no change, no write."""
        kept = [row for path, row in sorted(self.seen.items()) if path in present]
        if not self._changed and len(kept) == len(self.seen):
            return
        with whole_file(self.file, durable=False) as temporary:
            pq.write_table(to_table(kept, CachedFile), temporary, compression="zstd")


@dataclass
class FileReader:
    """Reads files that the cache lacks."""

    box: Inbox
    store: Store
    memory: ListingCache
    problems: list[Problem]

    def upload(self, entry: InboxFile) -> CachedFile:
        """Digest and header of an upload.

        Raises:
            OSError: the file cannot be read, or is being written.
        """
        if seen := self.memory.recall(entry):
            return seen
        try:
            with self.box.on_disk(entry.path, self.store.stages / "inbox") as path:
                sha256 = file_digest(path)
                seen = replace(_header(path), path=entry.path, size=entry.size, stamp=entry.stamp, sha256=sha256)
                if self.box.stamp(entry) != entry.stamp or path.stat().st_size != entry.size:
                    raise OSError("it changed while it was read; the next refresh reads it again")
                if not self.box.local:
                    path.replace(download_path(self.store, sha256))
        except PermissionError as error:
            old = self.memory.unmodified(entry)
            if old is None:
                raise
            self.problems.append(
                Problem(
                    entry.path,
                    0,
                    f"cannot be read now: {error.strerror}; it is unmodified and stays",
                )
            )
            return old
        self.memory.learn(seen)
        return seen

    def passages(self, entry: InboxFile) -> tuple[Passage, ...]:
        """Passages of a TextGrid or of subtitles beside an upload; () and a problem where they cannot be read."""
        ending = f".{extension(entry.path)}"
        try:
            decoded = decode_table(self.box.read_bytes(entry.path, MOST_TEXT))
            text = decoded.text
            passages = read_textgrid(text) if ending == TEXTGRID else read_subtitles(text, ending)
        except (OSError, ValueError) as error:
            self.problems.append(Problem(entry.path, 0, f"{error}: not used"))
            return ()
        if decoded.guessed:
            name = decoded.encoding.upper().replace("_", "-")
            self.problems.append(Problem(entry.path, 0, f"read as {name}: save it as UTF-8 if its text looks wrong"))
        return passages

    def sidecar(self, entry: InboxFile) -> str:
        """Transcript in a text file beside an upload; "" and a problem where it cannot be read."""
        if seen := self.memory.recall(entry):
            return seen.text
        try:
            text = normalise_text(decode_sidecar(self.box.read_bytes(entry.path, MOST_TEXT)))
        except (OSError, ValueError) as error:
            self.problems.append(Problem(entry.path, 0, str(error)))
            return ""
        self.memory.learn(CachedFile(entry.path, entry.size, entry.stamp, text=text))
        return text

    def turns(self, audio: InboxFile, rttm: InboxFile) -> tuple[Turn, ...]:
        """Turns of a recording by the RTTM file beside it; () and a problem where it cannot be read."""
        stem = without_extension(audio.path).rpartition("/")[2]
        try:
            return turns_of(
                read_rttm(decode_text(self.box.read_bytes(rttm.path, MOST_TEXT)), rttm.path), stem, rttm.path
            )
        except (OSError, ValueError, ConfigError) as error:
            message = str(error).removeprefix(f"{rttm.path}:").strip()
            message = f"line {message}" if message[:1].isdigit() else message
            self.problems.append(Problem(rttm.path, 0, f"{message}: the voices are told apart by their sound"))
            return ()


def decode_sidecar(data: bytes) -> str:
    """Decode UTF-8, UTF-16 or UTF-32; a short text does not suffice to tell the encodings of one country apart.

    Raises:
        ValueError: the encoding is another.
    """
    if b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return decode_table(data).text
    return decode_text(data)


def _header(path: Path) -> CachedFile:
    """Values of the header; empty where no decoder opens the file (`decode` records why)."""
    try:
        with open_audio(path) as source:
            return CachedFile(
                codec=source.codec, rate=source.rate, channels=source.channels, seconds=max(source.seconds, 0.0)
            )
    except OSError:
        raise
    except AudioError:
        return CachedFile()
    except Exception:  # a header that breaks a decoder must not end the scan; `decode` records the outcome
        return CachedFile()
