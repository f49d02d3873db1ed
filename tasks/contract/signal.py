"""The signal that the text stages read: the original upload, or the prepared waveform."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Segment
from voicemill.storage.units import Samples, Seconds, to_samples
from voicemill.tasks.contract.prepared import Prepared
from voicemill.tasks.contract.stage import Inputs

ListenTo: TypeAlias = Literal["original", "prepared"]


def inputs_for(listen_to: ListenTo, *more: str) -> tuple[str, ...]:
    """Names of the stages that this signal comes from, and `more`."""
    return ("decode", "slice", *(("denoise", "loudness") if listen_to == "prepared" else ()), *more)


def segment_reader(inputs: Inputs, listen_to: ListenTo, context_s: Seconds = 0.0) -> Callable[[Segment], Wave]:
    """Function that reads one segment, float32 [samples], 32 kHz; files are opened at its first call.

    The function raises ValueError where the audio does not hold the whole segment.

    Args:
        context_s: seconds of the original that are read before and after the segment, as far as `slice` has silence
            there; 0 for the prepared waveform, which only exists of segments.
    """
    prepared = Prepared(inputs)
    opened: list[Waves] = []
    context = _context(inputs, to_samples(context_s)) if listen_to == "original" and context_s else {}

    def read(segment: Segment) -> Wave:
        start, stop = context.get((segment.upload, segment.index), (segment.start, segment.stop))
        if listen_to == "prepared":
            wave = prepared.read(segment.upload, segment.index)
        else:
            if not opened:
                opened.append(inputs.waves("decode"))
            wave = opened[0].read(segment.upload, -1, start, stop)
        if len(wave) != stop - start:
            raise ValueError(f"segment {segment.index} has {len(wave)} of its {stop - start} samples")
        return wave

    return read


def _context(inputs: Inputs, samples: Samples) -> dict[tuple[str, int], tuple[Samples, Samples]]:
    """Upload and index of each kept segment -> its start and stop with up to so many samples of the silence around."""
    rows = list(inputs.rows("slice", Segment))
    silences = {(row.upload, row.start): row for row in rows if row.outcome is Outcome.SILENCE}
    before = {(row.upload, row.stop): row for row in silences.values()}
    bounds = {}
    for row in rows:
        if row.outcome is Outcome.KEPT:
            pause, next_pause = before.get((row.upload, row.start)), silences.get((row.upload, row.stop))
            start = max(pause.start, row.start - samples) if pause else row.start
            stop = min(next_pause.stop, row.stop + samples) if next_pause else row.stop
            bounds[row.upload, row.index] = start, stop
    return bounds
