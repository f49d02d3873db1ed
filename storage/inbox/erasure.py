"""Erasing a speaker from a local inbox: every door through which a scan reads is one through which this erases.

| door | what goes |
|---|---|
| audio | files with the bytes of the speaker's uploads, under any name, and all that a scan counts for the speaker |
| transcripts and turns beside it | texts, subtitles, turns that a scan reads for it, or that may belong to it |
| tables of all layouts, and those beside `wav.scp` | rows of the speaker, and of the files above |
| `languages.csv` | rows of the speaker's folders, where nothing is left in them |
| `consents.csv` | rows that grant; one that refuses stays, because without it an assumed consent would apply |
| turns, WebVTT, TextGrids of others | the speaker's name, which a neutral one replaces: who speaks when still counts |

Links go with the file that they lead to. The plan is made first and carried out in an order that a kill does not harm:
tables, then what lies beside the audio, the audio last, by which a repetition finds the rest again.
"""

import os
import posixpath
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from voicemill.storage.errors import ConfigError, InboxError
from voicemill.storage.files import whole_file
from voicemill.storage.inbox.consent_table import CONSENTS, without_grants
from voicemill.storage.inbox.decoding import decode_table, lines_of, without_lines
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.inbox.languages import LANGUAGES, folder_key, folder_rows, tagged_files
from voicemill.storage.inbox.layouts import MetadataFile, folder_speaker, metadata_rows
from voicemill.storage.inbox.listing import AUDIO, Listing, everything, extension, without_extension
from voicemill.storage.inbox.metadata import SIDECARS, read_metadata
from voicemill.storage.inbox.names import beside, caseless, composed, speaker_name
from voicemill.storage.inbox.transcripts.columnar import COLUMNAR, without_rows
from voicemill.storage.inbox.transcripts.kaldi import TABLES as KALDI_TABLES
from voicemill.storage.inbox.transcripts.rows import MetadataRow
from voicemill.storage.inbox.transcripts.rttm import RTTM
from voicemill.storage.inbox.transcripts.voices import VOICED, without_voice
from voicemill.storage.keys import file_digest

_BY_NEWLINE = (".list", ".scp", ".jsonl", ".json", ".jsonl.gz", ".json.gz", ".ctm", ".trans.txt")
"""Endings of the tables whose lines end with a line feed alone."""

Lines = Callable[[str], list[str]]
"""Splits a text into lines with their ends, as the reader of the file does."""


@dataclass(frozen=True)
class Bytes:
    """Digests of the speaker's uploads, and their sizes: only files of such a size are hashed."""

    content: frozenset[str]
    sizes: frozenset[int]


@dataclass(frozen=True)
class Erasure:
    """Files that an erasure deletes or rewrites in an inbox; paths are relative to it."""

    inbox: Inbox
    rewritten: Mapping[str, tuple[bytes, bytes]]
    """Path -> bytes before and after."""
    deleted: tuple[str, ...]
    """In the order of their deletion."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all files that are deleted or rewritten."""
        return (*self.deleted, *sorted(self.rewritten))

    def carry_out(self, earlier: Iterable[str] = ()) -> None:
        """Rewrite and delete the files, then the folders in which nothing is left.

        `earlier`: paths that an interrupted erasure may have deleted, whose folders may still be there.

        Raises:
            InboxError: a table changed since the plan was made; nothing after it was erased.
            OSError: a file cannot be changed.
        """
        for path, (before, after) in self.rewritten.items():
            file = (self.inbox.root / path).resolve()
            if file.read_bytes() != before:
                raise InboxError(f"{path} changed while the speaker was erased from it: run the same command again")
            if after.strip():
                with whole_file(file, durable=True) as temporary:
                    temporary.write_bytes(after)
                    shutil.copymode(file, temporary)
            else:
                file.unlink()
        for path in self.deleted:
            (self.inbox.root / path).unlink(missing_ok=True)
        folders = {folder for path in (*self.deleted, *earlier) for folder in PurePosixPath(path).parents[:-1]}
        for place in (self.inbox.root / f for f in sorted(folders, key=lambda f: (-len(f.parts), f))):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()  # its name may be the speaker's


def local_inbox(url: str | Path) -> Inbox:
    """The inbox, which must lie on this machine.

    Raises:
        InboxError: it does not, or it is no folder.
    """
    inbox = Inbox(url)
    if not inbox.local:
        raise InboxError(
            f"{inbox.url} is not a folder on this machine: erase the speaker's files there with the tools of its file "
            "system, and run the command again without --inbox"
        )
    return inbox


def uploads_of(inbox: Inbox, speaker: str) -> Bytes:
    """Digests and sizes of all audio that a scan would count for the speaker, whether or not it was ever prepared.

    Raises:
        InboxError, OSError: the inbox or a file of the speaker cannot be read.
    """
    own = (inbox.root / path for path, owner in _owners(inbox, inbox.listing()) if owner == speaker)
    sizes = {path: path.stat().st_size for path in own}
    content = frozenset(file_digest(path) for path, size in sizes.items() if size)
    return Bytes(content, frozenset(size for size in sizes.values() if size))


def plan_erasure(inbox: Inbox, speaker: str, known: Bytes) -> Erasure:
    """All that is to be erased in an inbox; nothing is changed yet.

    Raises:
        InboxError, OSError: the inbox cannot be read.
    """
    listing = inbox.listing()
    own = (path for path, owner in _owners(inbox, listing) if owner == speaker)
    audio = {*own, *_with_bytes(inbox, known)}
    texts = set(_beside(inbox, audio))
    linked = _linked(inbox, audio | texts)
    rewritten: dict[str, tuple[bytes, bytes]] = {}
    for path, lines, split in _table_lines(inbox, listing, speaker, audio):
        before, file = _read(inbox, path), (inbox.root / path).resolve()
        if lines and not any((inbox.root / other).resolve() == file for other in rewritten):
            try:
                columnar = path.lower().endswith(COLUMNAR)
                after = without_rows(before, lines) if columnar else without_lines(before, path, lines, split)
                rewritten[path] = before, after
            except ValueError as error:
                raise _unsearched(path, str(error)) from error
    for path in listing.others:
        if path.lower().endswith(VOICED) and path not in texts | linked:
            before = _read(inbox, path)
            if (after := _without_voice(before, f".{extension(path)}", speaker)) != before:
                rewritten[path] = before, after
    try:
        if table := without_grants(inbox, listing, speaker):
            rewritten[table[0]] = table[1:]
    except ConfigError as error:
        raise _unsearched(CONSENTS, str(error)) from error
    return Erasure(inbox, rewritten, (*sorted((texts | linked) - audio), *sorted(audio)))


def _without_voice(data: bytes, ending: str, speaker: str) -> bytes:
    """A file with a neutral name for the voice, in its own encoding; as it is where it cannot be read, as by a scan."""
    try:
        decoded = decode_table(data)
    except ValueError:
        return data
    text = without_voice(decoded.text, ending, speaker, speaker_name)
    return data if text == decoded.text else decoded.mark + text.encode(decoded.encoding)


def _owners(inbox: Inbox, listing: Listing) -> Iterator[tuple[str, str]]:
    """Path of each audio file and the speaker for whom a scan counts it."""
    stated = read_metadata(listing, inbox.read_bytes).descriptions
    for entry in listing.audio:
        description = stated.get(entry.path)
        yield entry.path, (description and description.speaker) or folder_speaker(entry.path)


def speakers_of(inbox: Inbox) -> set[str]:
    """Speakers for whom a scan counts audio."""
    return {speaker for _, speaker in _owners(inbox, inbox.listing())}


def _with_bytes(inbox: Inbox, known: Bytes) -> Iterator[str]:
    """Paths of all files with these bytes, hidden and temporary ones included."""
    for path in everything(inbox.root):
        ours = path.is_file() and not path.is_symlink() and path.stat().st_size in known.sizes
        if ours and file_digest(path) in known.content:
            yield path.relative_to(inbox.root).as_posix()


def _read(inbox: Inbox, path: str) -> bytes:
    """Content of a table.

    Raises:
        InboxError: it is larger than what is read.
    """
    try:
        return inbox.read_bytes(path)
    except ValueError as error:
        raise _unsearched(path, str(error)) from error


def _unsearched(path: str, reason: str) -> InboxError:
    return InboxError(
        f"{path} may name the speaker, and cannot be searched: {reason}. Nothing was erased in the inbox: repair or "
        "remove the file, and run the same command again"
    )


def _linked(inbox: Inbox, paths: Iterable[str]) -> set[str]:
    """Paths of the links that lead to these files, and of the files in the inbox that these links lead to."""
    targets = {target for path in paths if (target := (inbox.root / path).resolve()).is_relative_to(inbox.root)}
    links = {path for path in everything(inbox.root) if path.is_symlink() and path.resolve() in targets}
    return {path.relative_to(inbox.root).as_posix() for path in targets | links}


def _beside(inbox: Inbox, audio: Iterable[str]) -> Iterator[str]:
    """Paths of the transcripts and turns that belong to these files, as a scan finds them, or may belong to them."""
    doomed: dict[str, set[str]] = {}
    for path in audio:
        doomed.setdefault(posixpath.dirname(path), set()).add(without_extension(path))
    for folder, stems in doomed.items():
        paths = [posixpath.join(folder, name) for name in os.listdir(inbox.root / folder)]
        recordings = stems.union(without_extension(path) for path in paths if extension(path) in AUDIO)
        for files in (beside(recordings, paths, ending) for ending in (*SIDECARS, RTTM)):
            yield from (path for stem in stems for path in files.all_of(stem))
        tagged = tagged_files(recordings, paths, SIDECARS)
        yield from (file.path for stem in stems for file in tagged.get(stem, ()))


def _table_lines(
    inbox: Inbox, listing: Listing, speaker: str, audio: set[str]
) -> Iterator[tuple[str, set[int], Lines]]:
    """Path of each table, the numbers of its lines that go, and how it is split into lines."""
    keys_of: dict[str, set[str]] = {}
    for source, rows in metadata_rows(listing, inbox.read_bytes, [], set()):
        doomed = [row for row in rows if _concerns(source, row, speaker, audio)]
        if reason := source.unsearched(speaker):
            raise _unsearched(source.path, reason)
        by_newline = source.path.lower().endswith(_BY_NEWLINE)
        numbers = {line for row in doomed for line in range(row.line, row.stop)}
        keys = {row.key for row in doomed if row.key}
        if extension(source.path) == "scp":
            for name in KALDI_TABLES:
                keys_of.setdefault(source.beside(name), set()).update(keys)
            texts = source.beside(KALDI_TABLES[0])
            if texts in listing.others:  # before the keys go, by which a repetition finds them
                yield texts, _lines_of_keys(_read(inbox, texts), keys, speaker), _by_newline
        yield source.path, numbers, _by_newline if by_newline else lines_of
    for path in listing.others:
        if posixpath.basename(path) in KALDI_TABLES[1:] and (path in keys_of or path.endswith(KALDI_TABLES[1])):
            # last, and also where the list of its files is gone
            yield path, _lines_of_keys(_read(inbox, path), keys_of.get(path, set()), speaker), _by_newline
    remaining = {entry.path for entry in listing.audio} - audio
    in_use = {composed(posixpath.dirname(path)) + "/" for path in remaining}

    for table in (path for path in listing.others if caseless(path) == LANGUAGES):
        try:
            stated = list(folder_rows(_read(inbox, table), {speaker}))
        except ValueError as error:
            raise _unsearched(table, str(error)) from error
        folders = [(line, folder_key(folder)) for line, folder, _ in stated]
        lost = {f for _, f in folders if not any(path.startswith(f"{f}/") for path in in_use)}
        yield table, {n for n, f in folders if f in lost and f.partition("/")[0] == speaker}, lines_of


def _concerns(source: MetadataFile, row: MetadataRow, speaker: str, audio: set[str]) -> bool:
    """Whether a row is about the speaker: it says so, it names a file that goes, or one of the folder that is gone."""
    path, stated = source.place(row), speaker_name(row.description.speaker)
    if stated == speaker or path in audio or audio.intersection(source.named(row.file)):
        return True
    lost = posixpath.normpath(row.file.replace("\\", "/"))
    if row.of_table and path is None and not stated and folder_speaker(source.path) == speaker:
        return True
    return path is None and not stated and folder_speaker(source.beside(lost)) == speaker


def _lines_of_keys(data: bytes, keys: set[str], speaker: str) -> set[int]:
    """Lines of Kaldi's `key value` with one of these keys, or with the speaker as value."""
    lines: set[int] = set()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return lines
    for number, line in enumerate(_by_newline(text), 1):
        key, value = (*line.strip().split(maxsplit=1), "", "")[:2]
        if key and (key in keys or speaker_name(value) == speaker):
            lines.add(number)
    return lines


def _by_newline(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)
