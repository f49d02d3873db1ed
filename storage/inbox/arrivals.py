"""Copying files from elsewhere on this machine into an inbox: each whole or not at all, none over another.

Method: copy under a hidden temporary name in the target folder, fsync, then link to the name, which fails where that is
taken. Transcript and turns go first: a scan in between finds them without their audio, and ignores them, and never an
upload without them. Repeating it changes nothing: the same bytes are there already.
"""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from voicemill.storage.audio.reading import open_audio
from voicemill.storage.errors import AudioError, ConfigError, InboxError
from voicemill.storage.files import place, temporary_path
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.inbox.languages import TaggedFile, tagged_files
from voicemill.storage.inbox.listing import AUDIO, extension, unfit_name, without_extension
from voicemill.storage.inbox.metadata import SIDECARS, unfit_speaker
from voicemill.storage.inbox.names import Beside, beside, caseless, speaker_name
from voicemill.storage.inbox.transcripts.rttm import RTTM
from voicemill.storage.keys import file_digest

FolderFiles = tuple[Mapping[str, Beside], Mapping[str, list[TaggedFile]]]
"""Ending -> transcripts or turns beside recordings; stem -> transcripts with a language in their names."""


@dataclass(frozen=True)
class Arrival:
    """Outcome of copying one file."""

    source: str
    outcome: str
    """new; there (the inbox has the same bytes already); refused."""
    path: str = ""
    """Path in the inbox."""
    detail: str = ""
    """Reason of the refusal, or the other name it was copied to."""
    size: int = 0
    """Bytes copied."""
    transcript: bool = False
    """Whether the inbox has a transcript of it, copied now or before."""


def bring_uploads(sources: Iterable[Path], inbox: Inbox, speaker: str) -> Iterator[Arrival]:
    """Copy audio files, with the texts and turns beside them, into the folder of a speaker; yield an outcome for each.

    Raises:
        ConfigError: the name cannot be that of a speaker.
        InboxError: the inbox is not a folder on this machine.
        OSError: the inbox cannot be written; files copied before are whole, and no part of another is there.
    """
    if reason := unfit_speaker(speaker) or unfit_name(speaker_name(speaker)):
        raise ConfigError(f"--speaker {speaker!r} cannot be the name of a speaker: {reason}")
    speaker = speaker_name(speaker)
    if not inbox.local:
        raise InboxError(
            f"{inbox.url} is not a folder on this machine: copy files there with the tools of its file system"
        )
    folder = inbox.root / speaker
    folder.mkdir(exist_ok=True)
    if not folder.resolve().is_relative_to(inbox.root):
        raise InboxError(f"{folder} is a link that leaves the inbox")
    sizes: dict[int, list[str]] = {}
    for entry in inbox.listing().audio:
        sizes.setdefault(entry.size, []).append(entry.path)
    beside_of = cache(_files_beside)
    for source in sources:
        arrival = _bring(source, inbox, folder, sizes, beside_of)
        if arrival.outcome == "new":
            sizes.setdefault(arrival.size, []).append(arrival.path)
        yield arrival


def _bring(
    source: Path,
    inbox: Inbox,
    folder: Path,
    sizes: dict[int, list[str]],
    beside_of: Callable[[Path], FolderFiles],
) -> Arrival:
    if reason := _refusal(source):
        return Arrival(str(source), "refused", detail=reason)
    size, sha256 = source.stat().st_size, file_digest(source)
    own = list(_own(source, beside_of(source.parent)))
    for path in sizes.get(size, ()):
        if file_digest(inbox.root / path) == sha256:
            mine = path.startswith(f"{folder.name}/")
            return Arrival(str(source), "there", path, transcript=mine and _bring_beside(own, inbox.root / path))
    for target in _names(folder / unicodedata.normalize("NFC", source.name)):
        if not _free(target, own):
            continue
        transcript = _bring_beside(own, target)
        with _copy(source, target.parent) as (temporary, copied):
            if copied != sha256:
                detail = "it changed while it was read: upload it again when it is complete"
                return Arrival(str(source), "refused", detail=detail)
            if place(temporary, target, durable=True):
                other = "" if target.name == source.name else f"as {target.name}: another file has its name"
                path = target.relative_to(inbox.root).as_posix()
                return Arrival(
                    source=str(source), outcome="new", path=path, detail=other, size=size, transcript=transcript
                )
    raise AssertionError("unreachable: there is always a next name")


def _refusal(source: Path) -> str:
    """Reason why a file cannot be an upload; "" = it can."""
    if not source.is_file():
        return "a folder: name the files in it" if source.is_dir() else "there is no such file"
    if reason := unfit_name(source.name):
        return reason
    try:
        with open_audio(source):
            pass
    except AudioError as error:
        return f"{error.reason.value}: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except Exception as error:  # a damaged file can make a decoder raise anything
        return f"no decoder opens it: {error}"
    if extension(source.name) not in AUDIO:
        return "it is audio, but its name has no audio extension: rename it to .wav, .flac, .mp3, ..."
    return ""


def _names(path: Path) -> Iterator[Path]:
    """The path itself, then with -2, -3, ... after its stem."""
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1


def _free(target: Path, own: Iterable[tuple[Path, str]]) -> bool:
    """Whether no file has this stem: a transcript in another case or Unicode form may belong to either of two.

    The same transcript and turns may be there, from a copy that was interrupted.
    """
    stem = caseless(without_extension(target.name))
    present = [name for name in os.listdir(target.parent) if caseless(without_extension(name)) == stem]
    copies = {target.with_suffix(ending).name: file for file, ending in own}
    return all(name in copies and _same(target.parent / name, copies[name]) for name in present)


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


def _files_beside(folder: Path) -> FolderFiles:
    """Transcripts and turns beside the recordings of a folder, by the rules of a scan."""
    names = os.listdir(folder)
    stems = {without_extension(name) for name in names if extension(name) in AUDIO}
    files = {ending: beside(stems, names, ending) for ending in (*SIDECARS, RTTM)}
    return files, tagged_files(stems, names, SIDECARS)


def _own(source: Path, folder: FolderFiles) -> Iterator[tuple[Path, str]]:
    """Transcript (or all those with a language in their names) and turns of a recording, each with its ending."""
    files, tagged = folder
    stem = without_extension(source.name)
    texts = ((*files[end].own[stem], end) for end in SIDECARS if stem in files[end].own)
    if text := min(texts, key=lambda match: match[0], default=None):
        yield source.parent / text[1], text[2]
    else:
        for file in tagged.get(stem, ()):
            yield source.parent / file.path, file.ending
    if stem in files[RTTM].own:
        yield source.parent / files[RTTM].own[stem][1], RTTM


def _bring_beside(files: Iterable[tuple[Path, str]], audio: Path) -> bool:
    """Copy a transcript and turns beside an upload that has none; returns whether there is a transcript to copy."""
    transcript = False
    for file, ending in files:
        transcript |= ending != RTTM
        if not any(audio.with_suffix(end).exists() for end in ((RTTM,) if ending == RTTM else SIDECARS)):
            with _copy(file, audio.parent) as (temporary, _):
                place(temporary, audio.with_suffix(ending), durable=True)
    return transcript


@contextmanager
def _copy(source: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield a copy under a name that listings pass over, and its sha256; the name is removed at the end."""
    temporary = temporary_path(folder / "upload")
    sha256 = hashlib.sha256()
    try:
        with source.open("rb") as old, temporary.open("wb") as new:
            while block := old.read(1 << 20):
                sha256.update(block)
                new.write(block)
        yield temporary, sha256.hexdigest()
    finally:
        temporary.unlink(missing_ok=True)
