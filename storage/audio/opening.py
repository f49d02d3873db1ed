"""Opening a file link by link: which decoder reads which part, and what becomes of parts that none reads."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from voicemill.storage.audio.budget import Budget
from voicemill.storage.audio.containers import Container, identify
from voicemill.storage.audio.libav import open_libav, tracks_of
from voicemill.storage.audio.links import Link, find_links, find_start
from voicemill.storage.audio.mpeg import is_adts, is_mpeg
from voicemill.storage.audio.ogg import rate_of
from voicemill.storage.audio.signal.chunks import Chunk, Note, Source, checked, lost
from voicemill.storage.audio.sndfile import KINDS, open_sndfile
from voicemill.storage.audio.tracks import best_track
from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import RATE

_TRACKED = ("mp4", "matroska", "")
"""Kinds of containers that may hold several audio streams; "" = those without a known magic."""


def open_links(path: Path, stack: ExitStack, budget: Budget, whole: bool) -> Source:
    """Open a file; its blocks run through all of its links.

    Raises:
        AudioError: no decoder opens any of it.
    """
    container = identify(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
    kind = container.kind or ("mp3" if is_mpeg(head) else "")
    links = find_links(path, kind) if whole and kind else [Link(kind, 0, size)]
    notes: list[Note] = []
    message = ""
    error: AudioError | None = None
    first: Source | None = None
    try:
        first, message = _open(path, links[0], container, stack, budget, notes)
    except AudioError as caught:
        error, message = caught, str(caught)
    if len(links) == 1 and not kind and not is_adts(head):
        kind, start = find_start(path)
        if start:
            links = find_links(path, kind, start) if whole else [Link(kind, start, size)]
            later, message = _try(path, links[0], Container(kind), stack, budget, notes)
            if later is not None:
                first = later
                notes.append(Note(f"{start} bytes before its header were passed over"))
    while first is None and len(links) > 1:
        size = links[0].stop - links[0].start
        notes.append(Note(f"its first {size} bytes cannot be read: {message}", Reason.DAMAGED.value))
        links = links[1:]
        first, message = _try(path, links[0], container, stack, budget, notes)
    if first is None:
        raise _with_length(path, links[0], error or _unopened(container, message))
    if len(links) > 1:
        notes.append(Note(f"{len(links)} recordings joined end to end"))
    opened = first

    def blocks() -> Iterator[Chunk]:
        yield from _counted(opened, notes)
        for link in links[1:]:
            with ExitStack() as inner:
                source, why = _try(path, link, container, inner, budget, notes)
                if source is None:
                    seconds = opened.seconds * (link.stop - link.start) / max(links[0].stop - links[0].start, 1)
                    yield from lost(opened.rate, round(seconds * opened.rate), f"no decoder opens this part: {why}")
                else:
                    yield from _counted(source, notes)

    notes += opened.notes
    return replace(opened, blocks=lambda: checked(blocks()), notes=notes)


def _counted(source: Source, notes: list[Note]) -> Iterator[Chunk]:
    """Samples of a link; a decoder that finds nothing to decode leaves the other links alone."""
    known = len(source.notes)
    yield from source.blocks()
    notes += source.notes[known:]


def _try(
    path: Path, link: Link, container: Container, stack: ExitStack, budget: Budget, notes: list[Note]
) -> tuple[Source | None, str]:
    try:
        return _open(path, link, container, stack, budget, notes)
    except AudioError as error:
        if error.reason is Reason.TOO_SLOW:
            raise
        return None, str(error)


def _open(
    path: Path, link: Link, container: Container, stack: ExitStack, budget: Budget, notes: list[Note]
) -> tuple[Source | None, str]:
    """Open one link with the decoder for its kind, and with the other one where that fails."""
    message = ""
    if link.kind in KINDS and not link.damaged:

        def go_on(done: int) -> Iterator[Chunk]:
            with ExitStack() as inner:
                other, why = open_libav(path, link, container, inner, budget)
                if other is None:
                    raise AudioError(Reason.DAMAGED, why)
                yield from _behind(other.blocks(), done)
                notes.extend(other.notes)

        source, message = open_sndfile(path, link, container, stack, go_on)
        if source is not None:
            return source, ""
    track = 0
    if link.kind in _TRACKED and len(names := tracks_of(path, link, budget)) > 1:
        track, why = best_track(path, link, container, names)
        notes.append(Note(why))
    source, other_message = open_libav(path, link, container, stack, budget, track)
    return source, message or other_message


def _behind(chunks: Iterator[Chunk], done: int) -> Iterator[Chunk]:
    """Chunks without their first `done` frames."""
    for chunk in chunks:
        if done >= len(chunk.data):
            done -= len(chunk.data)
            continue
        yield replace(chunk, data=chunk.data[done:]) if done else chunk
        done = 0


def _with_length(path: Path, link: Link, error: AudioError) -> AudioError:
    """The error with the length that the pages of an Ogg state: all of it is lost."""
    if link.kind == "ogg" and link.granule and not error.samples:
        with path.open("rb") as file:
            file.seek(link.start)
            rate = rate_of(file.read(4096))
        error.samples = round(link.granule * RATE / rate) if rate > 0 else 0
    return error


def _unopened(container: Container, message: str) -> AudioError:
    if container.kind == "mp4" and container.unindexed:
        why = "its index (moov) is missing: without it nobody can tell where a frame begins and how it is coded"
        return AudioError(Reason.TRUNCATED if container.short else Reason.DAMAGED, f"mp4: {why}")
    if container.short:
        return AudioError(Reason.TRUNCATED, f"{container.kind}: {container.short}")
    if container.kind:
        return AudioError(Reason.DAMAGED, f"begins like {container.kind}, but no decoder opens it: {message}")
    return AudioError(Reason.NOT_AUDIO, "no decoder recognises the bytes (headerless raw samples are not supported)")
