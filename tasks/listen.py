"""Which signal the text stages hear: the original upload, or the waveform that is stored."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from storage.artifacts import Wave
from storage.records import Segment
from tasks.prepared import prepared_waves
from tasks.stage import Inputs

ListenTo: TypeAlias = Literal["original", "prepared"]


def inputs_for(listen_to: ListenTo, *more: str) -> tuple[str, ...]:
    """The stages that hearing needs, and `more`."""
    return ("decode", "slice", *(("denoise", "loudness") if listen_to == "prepared" else ()), *more)


def heard(inputs: Inputs, listen_to: ListenTo) -> Callable[[Segment], Wave]:
    """A function that reads one segment: float32 [stop - start], 32 kHz. Files are opened at its first call."""
    if listen_to == "prepared":
        prepared = prepared_waves(inputs)
        return lambda segment: prepared.read(segment.upload, segment.index)
    opened: list[Callable[[Segment], Wave]] = []

    def read(segment: Segment) -> Wave:
        if not opened:
            waves = inputs.waves("decode")
            opened.append(lambda s: waves.read(s.upload, -1, s.start, s.stop))
        return opened[0](segment)

    return read
