"""Opening a link of a file with FFmpeg's libraries (PyAV), and going on behind damage (`libav_damage`)."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from voicemill.storage.audio.budget import Budget, WatchedFile
from voicemill.storage.audio.containers import Container, libav_options
from voicemill.storage.audio.libav_damage import Reader
from voicemill.storage.audio.links import Link, Window
from voicemill.storage.audio.mpeg import frames_from, stated_frames, without_tags, without_zeros
from voicemill.storage.audio.signal.chunks import Chunk, Note, Source
from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason

TIMED = ("matroska", "webm", "mov", "mp4", "ogg", "flac")
"""Names of demuxers whose packets have times of their own."""
_LOSSLESS = ("flac", "alac", "wavpack", "ape", "tta", "tak")


def open_libav(
    path: Path, link: Link, container: Container, stack: ExitStack, budget: Budget, track: int = 0
) -> tuple[Source | None, str]:
    """Open a link by an open file: by name FFmpeg would take hints from the extension and protocols from the name."""
    import av

    with path.open("rb") as tags:
        end, stated = without_tags(tags, link.start, link.stop), stated_frames(tags, link.start, link.stop)
        filled = without_zeros(tags, link.start, end)
    raw = stack.enter_context(path.open("rb"))
    size = path.stat().st_size
    file = WatchedFile(raw if (link.start, link.stop) == (0, size) else Window(raw, link.start, link.stop), budget)
    try:
        demuxer = stack.enter_context(av.open(file, mode="r", metadata_errors="replace", options=libav_options()))
        if not demuxer.streams.audio:
            raise AudioError(Reason.NOT_AUDIO, f"a {demuxer.format.name} file without an audio stream")
        stream = demuxer.streams.audio[track]
        context = stream.codec_context
        if context is None:
            return None, "no decoder for its audio stream"
        context.thread_count = 1
        if context.name == "flac":
            context.options = {"err_detect": "crccheck+explode"}
        rate, channels = int(context.sample_rate or 0), int(context.channels or 0)
    except (av.error.FFmpegError, ValueError) as error:
        return None, getattr(error, "strerror", None) or str(error)  # without the path
    if not rate or not channels:
        return None, "its audio stream states no rate or no channels"
    names = demuxer.format.name.split(",")
    timed = any(name in TIMED for name in names)
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (demuxer.duration or 0) / av.time_base
    exact = link.kind in ("mp4", "matroska") and seconds > 0
    notes: list[Note] = []
    known = stated / rate if names[0] == "mp3" else 0.0
    if timed:
        known = seconds
    if link.granule:
        known = link.granule / (48_000 if context.name == "opus" else rate)

    def frames(at: int, first: int) -> Iterator[tuple[int, bytes]]:
        with path.open("rb") as other:
            other.seek(link.start + first)
            like = other.read(4)
            yield from frames_from(other, link.start + at, filled, like)

    def blocks() -> Iterator[Chunk]:
        size = filled - link.start
        reader = Reader(
            demuxer=demuxer,
            stream=stream,
            rate=rate,
            size=size,
            timed=timed,
            seconds=known,
            notes=notes,
            damaged=link.damaged,
            frames=frames if names[0] in ("mp3", "aac") else None,
            packed=names[0] == "flac",
            by_pages=link.kind == "ogg",
        )
        yield from reader.chunks()
        if container.short:
            notes.append(Note(container.short, Reason.TRUNCATED.value))

    return Source(
        codec=f"{'mp4' if link.kind == 'mp4' else names[0]}/{context.name}",
        rate=rate,
        channels=channels,
        seconds=seconds,
        exact=exact,
        blocks=blocks,
        notes=notes,
        lossy=context.name not in _LOSSLESS and "pcm" not in context.name,
    ), ""


def tracks_of(path: Path, link: Link, budget: Budget) -> list[str]:
    """Names of the audio streams of a link, in order."""
    import av

    with path.open("rb") as raw:
        file = WatchedFile(Window(raw, link.start, link.stop), budget)
        try:
            with av.open(file, mode="r", metadata_errors="replace", options=libav_options()) as demuxer:
                return [
                    " ".join(filter(None, (f"{at + 1}", s.metadata.get("language"), s.metadata.get("title"))))
                    for at, s in enumerate(demuxer.streams.audio)
                ]
        except (av.error.FFmpegError, ValueError):
            return []
