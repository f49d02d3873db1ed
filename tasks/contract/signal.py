"""Which signal the text stages hear: the original upload, or the waveform that is stored."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.records import Segment
from voicemill.tasks.contract.prepared import Prepared
from voicemill.tasks.contract.stage import Inputs

ListenTo: TypeAlias = Literal["original", "prepared"]


def inputs_for(listen_to: ListenTo, *more: str) -> tuple[str, ...]:
    """The stages that hearing needs, and `more`."""
    return ("decode", "slice", *(("denoise", "loudness") if listen_to == "prepared" else ()), *more)


def segment_reader(inputs: Inputs, listen_to: ListenTo) -> Callable[[Segment], Wave]:
    """A function that reads one segment: float32 [stop - start], 32 kHz. Files are opened at its first call.

    It raises ValueError where the audio does not hold the whole segment.
    """
    prepared = Prepared(inputs)
    opened: list[Waves] = []

    def read(segment: Segment) -> Wave:
        if listen_to == "prepared":
            wave = prepared.read(segment.upload, segment.index)
        else:
            if not opened:
                opened.append(inputs.waves("decode"))
            wave = opened[0].read(segment.upload, -1, segment.start, segment.stop)
        if len(wave) != segment.stop - segment.start:
            raise ValueError(f"{len(wave)} samples of the {segment.stop - segment.start} of segment {segment.index}")
        return wave

    return read
