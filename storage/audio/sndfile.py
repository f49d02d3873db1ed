"""Opening a link of a file with libsndfile: WAV, AIFF, AU, CAF, W64, FLAC, Ogg and NIST sphere."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from voicemill.storage.audio.containers import Container
from voicemill.storage.audio.extents import true_extent
from voicemill.storage.audio.headers import flac_header
from voicemill.storage.audio.links import Link, Window
from voicemill.storage.audio.signal.chunks import READ, Chunk, Note, Source
from voicemill.storage.outcomes import Reason

KINDS = frozenset({"wav", "aiff", "au", "caf", "w64", "flac", "ogg", "sph"})
_LOSSY = ("vorbis", "opus", "gsm", "adpcm", "mpeg", "vox", "dwvw")

Continue = Callable[[int], Iterator[Chunk]]
"""Decode the same link from a frame on with another decoder."""


def _flac_header(path: Path, link: Link) -> tuple[int, bytes] | None:
    with path.open("rb") as file:
        return flac_header(file, link.start, link.stop)


def open_sndfile(
    path: Path, link: Link, container: Container, stack: ExitStack, go_on: Continue
) -> tuple[Source | None, str]:
    """Open a link; (None, message) where libsndfile does not.

    By descriptor where the link is the whole file, which is fastest: by name it would guess headerless formats from the
    extension. `go_on` takes over where the decoder stops at damage.
    """
    import soundfile

    size = path.stat().st_size
    notes: list[Note] = []
    handle = os.open(path, os.O_RDONLY)
    stack.callback(os.close, handle)
    extent = true_extent(path, link.start, link.stop, link.kind)
    source: object = handle
    if extent is not None:
        prefix = extent.header(extent.stop - extent.start)
        source = Window(stack.enter_context(path.open("rb")), extent.start, extent.stop, prefix)
        stated = "no length" if extent.stated < 0 else f"{extent.stated} bytes of samples"
        if extent.stated != extent.stop - extent.start:
            notes.append(Note(f"its header states {stated}, {extent.stop - extent.start} were found and read"))
    elif link.kind == "flac" and (right := _flac_header(path, link)):
        source = Window(stack.enter_context(path.open("rb")), link.start + len(right[1]), link.stop, right[1])
        notes.append(Note(f"its header states {right[0]} samples, more were found and read"))
    elif (link.start, link.stop) != (0, size):
        source = Window(stack.enter_context(path.open("rb")), link.start, link.stop)
    try:
        file = stack.enter_context(soundfile.SoundFile(source, closefd=False))
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        return None, getattr(error, "error_string", str(error))
    frames = file.frames if file.frames < 1 << 60 else 0
    subtype = file.subtype.lower()

    def blocks() -> Iterator[Chunk]:
        done = 0
        message = ""
        while True:
            try:
                block = file.read(out=np.empty((READ, file.channels), np.float32))
            except soundfile.LibsndfileError as error:
                message = error.error_string
                break
            if not len(block):
                break
            done += len(block)
            yield Chunk(file.samplerate, block)
        if message or (done < frames and link.kind in ("flac", "ogg")):
            yield from go_on(done)
        elif container.short:
            notes.append(Note(container.short, Reason.TRUNCATED.value))

    return Source(
        codec=f"{link.kind}/{subtype}",
        rate=file.samplerate,
        channels=file.channels,
        seconds=frames / file.samplerate,
        exact=frames > 0,
        blocks=blocks,
        notes=notes,
        lossy=any(word in subtype for word in _LOSSY),
    ), ""
