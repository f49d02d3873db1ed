"""Turns of several people in one recording: without overlap, and widened to the pauses between them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from voicemill.storage.records import Turn
from voicemill.storage.units import Samples


def disjoint_turns(turns: Iterable[Turn], samples: Samples) -> tuple[Turn, ...]:
    """Turns within [0, samples) that do not overlap: where several voices speak at once, the voice is ""."""
    inside = [Turn(turn.start, min(turn.stop, samples), turn.voice) for turn in turns if turn.start < samples]
    edges = sorted({edge for turn in inside for edge in (turn.start, turn.stop)})
    starts = sorted(inside, key=lambda turn: turn.start)
    result: list[Turn] = []
    active: list[Turn] = []
    for start, stop in pairwise(edges):
        while starts and starts[0].start <= start:
            active.append(starts.pop(0))
        active = [turn for turn in active if turn.stop > start]
        voices = {turn.voice for turn in active}
        if not voices:
            continue
        voice = voices.pop() if len(voices) == 1 else ""
        if result and result[-1].stop == start and result[-1].voice == voice:
            result[-1] = Turn(result[-1].start, stop, voice)
        else:
            result.append(Turn(start, stop, voice))
    return tuple(result)


def widen_turns(turns: Sequence[Turn], samples: Samples, most: Samples) -> tuple[Turn, ...]:
    """Disjoint turns, extended on both sides by `most` or to the middle of a shorter pause, in [0, samples)."""
    edges = [0, *(edge for a, b in pairwise(turns) for edge in [(a.stop + b.start) // 2] * 2), samples]
    return tuple(
        Turn(max(turn.start - most, edges[2 * n]), min(turn.stop + most, edges[2 * n + 1]), turn.voice)
        for n, turn in enumerate(turns)
    )
