"""Rows of the intervals of an upload, as `slice` makes them."""

from collections.abc import Iterator, Mapping

from voicemill.model.audio.spans import Span, outside
from voicemill.storage.outcomes import Outcome, Reason
from voicemill.storage.records import Segment
from voicemill.storage.units import Samples


def between(
    upload: str, start: Samples, stop: Samples, gaps: Mapping[Span, tuple[Outcome, Reason]]
) -> Iterator[Segment]:
    """Rows of [start, stop), which has no segment: what was lost, what an earlier upload has, and silence."""
    holes = [span for span in gaps if start <= span.start < stop]
    for span in sorted([*holes, *outside([Span(start, stop)], sorted(holes))]):
        outcome, reason = gaps.get(span, (Outcome.SILENCE, Reason.NO_SPEECH))
        yield segment_row(upload, *span, outcome, reason)


def segment_row(
    upload: str, start: Samples, stop: Samples, outcome: Outcome, reason: str = "", index: int = -1, voice: str = ""
) -> Segment:
    """Row of [start, stop)."""
    return Segment(upload=upload, index=index, start=start, stop=stop, outcome=outcome, reason=reason, voice=voice)
