"""Decoding of one stream by FFmpeg's libraries that goes on behind damage, with the account of what was lost.

Where a packet cannot be decoded, or bytes are skipped until the next one, the stretch is lost, not the file. Its
length: in containers with times (Matroska, MP4, Ogg, FLAC's frame numbers) the step of the times; in streams of frames
(MP3, ADTS) the bytes that gave nothing, by the mean size of the frames that did, in whole frames. A step of the times
with no damage around it is a pause of the recorder, and loses nothing. Bytes before the first frame or behind
the last are not known to be audio: they are lost only where the container, or the first frame of an MP3, states a
duration that lacks them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from voicemill.storage.audio.signal.chunks import Chunk, Note, as_floats, lost
from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import Seconds

TOLERANCE: Seconds = 0.015
"""Step of the times from which something is missing: Matroska counts in milliseconds."""
SKIPPED = 64
"""Bytes between two packets from which they are no header of the container."""
FRONT = 20_000
"""Bytes before the first packet from which they are no header of the container."""
MOST_ERRORS = 1000
"""Errors of a demuxer without a packet between them."""
LONGEST_GAP: Seconds = 60.0
"""Longest step of the times that is taken for a loss, where the bytes that were skipped do not explain it."""
NOTED: Seconds = 0.5
"""Shortest pause that is noted; streams that send nothing in silence have many shorter ones."""
MOST_NOTES = 3


@dataclass(kw_only=True)
class Reader:
    """Decoding of one stream."""

    demuxer: Any
    stream: Any
    rate: int
    size: int
    """Bytes of the link, tags behind the last frame not included."""
    timed: bool
    """Whether its packets have times of their own."""
    seconds: Seconds
    """Duration that the container states; 0 = unknown."""
    notes: list[Note]

    frames: Callable[[int, int], Iterator[tuple[int, bytes]]] | None = None
    """Frames of MPEG audio from a position on, like the one at another: `mpeg.frames_from`."""
    packed: bool = False
    """Whether packets follow each other without bytes between them, so that those left over were lost."""
    by_pages: bool = False
    """Whether the container has checksums, by which `damaged` was set, and no positions of its packets."""
    message: str = ""
    """Last error since something was decoded; "" = none."""
    end: int | None = None
    """Position behind the last packet, bytes."""
    begin: int | None = None
    """Position of the first packet, bytes."""
    failed: int = 0
    """Frames that could not be decoded since something was."""
    wasted: int = 0
    """Bytes that gave nothing since something was decoded."""
    good_bytes: int = 0
    good_frames: int = 0
    at: int = 0
    """Frames so far, lost ones included."""
    first: Seconds | None = None
    """Time of the first frame."""
    paused: Seconds = 0.0
    step: int = 0
    """Frames of a packet."""
    damaged: bool = False
    """Whether something was lost so far, or checksums of the container show damage."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the samples, and the stretches that were lost in their places.

        Raises:
            AudioError: nothing was decoded.
        """
        import av

        for packet in self._packets():
            pos, size = packet.pos, packet.size
            if pos is not None and self.end is not None:
                self.wasted += max(pos - self.end, 0)
            elif pos is not None and self.timed:
                self.wasted += pos
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                self.message, self.damaged = _stopped(error), True
                if self.frames is not None and pos is not None and self.begin is not None:
                    yield from self._walk(pos)
                    break
                self.wasted += size
                self.end = pos + size if pos is not None else self.end
                continue
            except ValueError as error:  # a header that states 64-bit integers: PyAV has no array of them
                raise AudioError(Reason.DAMAGED, str(error)) from error
            if not self.timed and packet.duration and packet.time_base:
                self.step = max(self.step, round(packet.duration * packet.time_base * self.rate))
            self.begin = pos if self.begin is None else self.begin
            yield from self._decoded(frames)
            self.end = max(pos + size, self.end or 0) if pos is not None else self.end
            self.good_bytes += size
        try:
            yield from self._decoded(self.stream.decode(None))
        except av.error.FFmpegError as error:
            self.message = self.message or _stopped(error)
        yield from self._tail()

    def _walk(self, pos: int) -> Iterator[Chunk]:
        """Decode the frames behind damage one by one: FFmpeg skips bytes there without telling how many."""
        import av

        frames = self.frames(pos, self.begin or 0) if self.frames else iter(())
        for skipped, frame in frames:
            self.wasted += skipped
            self.end = (self.end or pos) + skipped + len(frame)
            if not frame:
                continue
            try:
                decoded = self.stream.codec_context.decode(av.Packet(frame))
            except av.error.FFmpegError as error:
                self.message = _stopped(error)
                self.failed += 1
                continue
            yield from self._decoded(decoded)
            self.good_bytes += len(frame)

    def _packets(self) -> Iterator[Any]:
        """Packets with data; the demuxer goes on behind its errors, until it fails again and again."""
        import av

        errors = 0
        while errors < MOST_ERRORS:
            try:
                for packet in self.demuxer.demux(self.stream):
                    if packet.size:
                        errors = 0
                        yield packet
                return
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                errors += 1
                self.message, self.damaged = _stopped(error), True

    def _decoded(self, frames: list[Any]) -> Iterator[Chunk]:
        """Samples of a packet, and before them what was lost since the one before."""
        for frame in frames:
            try:
                data = as_floats(frame.to_ndarray(), frame.layout.nb_channels)
            except ValueError as error:
                raise AudioError(Reason.DAMAGED, str(error)) from error
            if not self.timed:
                yield from self._by_bytes()
            elif frame.pts is not None:
                yield from self._by_time(float(frame.pts * frame.time_base))
            self.message, self.wasted, self.failed = "", 0, 0
            if not self.timed and self.damaged and self.seconds:
                data = data[: max(round(self.seconds * self.rate) - self.at, 0)]  # LAME's padding
            self.step = max(self.step, len(data))
            self.good_frames += len(data)
            self.at += round(len(data) * self.rate / frame.sample_rate)
            yield Chunk(frame.sample_rate, data)

    def _by_bytes(self) -> Iterator[Chunk]:
        """Frames of the bytes that gave nothing, behind a first frame."""
        if self.good_frames and self.good_bytes and self.step:
            steps = round(self.wasted * self.good_frames / self.good_bytes / self.step)
            yield from self._lose((steps + self.failed) * self.step)

    def _by_time(self, time: Seconds) -> Iterator[Chunk]:
        if self.first is None:
            lacks = self.message or (self.by_pages and self.damaged) or (self.wasted > FRONT and time > 1.0)
            self.first = 0.0 if lacks and self.seconds else time
        gap = time - self.first - self.paused - self.at / self.rate
        if gap <= max(TOLERANCE, 1.0 / self.rate):
            if gap < -1.0:
                self.paused += gap  # the clock was set back: another recording begins here
            return
        explained = 4 * self.wasted * self._seconds_of_a_byte()
        broken = self.packed or self.message or self.wasted >= SKIPPED or (self.damaged and self.by_pages)
        if broken and gap <= max(LONGEST_GAP, explained, self.seconds):
            yield from self._lose(round(gap * self.rate))
            return
        self.paused += gap
        if gap >= NOTED and len(self.notes) < MOST_NOTES:
            place = self.at / self.rate
            self.notes.append(Note(f"its clock steps by {gap:.2f} s at {place:.2f} s, nothing is missing"))

    def _tail(self) -> Iterator[Chunk]:
        """The stretch that was lost between the last frame and the end."""
        if not self.good_frames:
            raise AudioError(Reason.DAMAGED, self.message or "the decoder found no packet that it can decode")
        if not self.timed and not self.seconds:
            rest = self.wasted + max(self.size - self.end, 0) if self.frames and self.end is not None else 0
            held = rest * self._seconds_of_a_byte()
            if held > max(self.step / self.rate, TOLERANCE):  # without a clock nothing tells the one from the other
                text = f"{rest} bytes at its end hold no frame: they are foreign, or {held:.2f} s were lost there"
                self.notes.append(Note(text))
            self.wasted = 0
            yield from self._by_bytes()
            return
        rest = self.wasted + (max(self.size - self.end, 0) if self.end is not None else 0)
        missing = self.seconds - self.paused - self.at / self.rate if self.seconds else 0.0
        few = max(self.step / self.rate, TOLERANCE)
        if missing <= few:
            if self.message and missing > 0:
                yield from self._lose(round(missing * self.rate))
                self.notes.append(Note("it ends within its last frame", Reason.TRUNCATED.value))
            return
        held = rest * self._seconds_of_a_byte()
        if self.packed and self.begin is not None:
            unread = (self.size - self.begin - self.good_bytes) * self._seconds_of_a_byte()
            held = max(held, unread - (self.at - self.good_frames) / self.rate)
        if self.damaged or held > (few / 2 if self.packed else 4 * few):
            whole = held > missing / 2 or not self.timed or (self.by_pages and self.damaged)
            here = missing if whole else min(missing, held)
            yield from self._lose(round(here * self.rate))
            missing -= here
        if missing > few:
            text = f"its header states {self.seconds:.2f} s, {self.at / self.rate:.2f} s are there"
            self.notes.append(Note(text, Reason.TRUNCATED.value))

    def _seconds_of_a_byte(self) -> Seconds:
        return self.good_frames / max(self.good_bytes, 1) / self.rate

    def _lose(self, frames: int) -> Iterator[Chunk]:
        if frames > 0:
            self.damaged = True
            self.at += frames
            yield from lost(self.rate, frames, self.message or "bytes that hold no packet were skipped")


def _stopped(error: Exception) -> str:
    return f"the decoder stopped: {getattr(error, 'strerror', None) or error}"
