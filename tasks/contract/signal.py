"""The signal that the text stages read: the original upload, or the prepared waveform."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.records import Segment
from voicemill.tasks.contract.prepared import Prepared
from voicemill.tasks.contract.stage import Inputs

ListenTo: TypeAlias = Literal["original", "prepared"]


def inputs_for(listen_to: ListenTo, *more: str) -> tuple[str, ...]:
    """Names of the stages that this signal comes from, and `more`."""
    return ("decode", "slice", *(("denoise", "loudness") if listen_to == "prepared" else ()), *more)


def segment_reader(inputs: Inputs, listen_to: ListenTo) -> Callable[[Segment], Wave]:
    """Function that reads one segment, float32 [stop - start], 32 kHz; files are opened at its first call.

    The function raises ValueError where the audio does not hold the whole segment.
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
            raise ValueError(f"segment {segment.index} has {len(wave)} of its {segment.stop - segment.start} samples")
        return wave

    return read
