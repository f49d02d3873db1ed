"""Before and after an alignment: texts paired with their segments, then words placed in segments and scored."""

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from voicemill.model.speech.text_fit import PART, FitLimits, fitting_part, judge, missing_share, refuse
from voicemill.model.speech.words import Alignment, Span, Unalignable, join, split
from voicemill.storage.outcomes import Reason
from voicemill.storage.records import Aligned, Segment, Transcript, Word
from voicemill.storage.units import Samples


@dataclass(frozen=True)
class Unit:
    """A text, and the segments that it is spoken in."""

    segments: tuple[Segment, ...]
    words: tuple[str, ...]
    language: str
    is_recognised: bool = False
    """Whether a recogniser wrote the text: it leaves out single words, where a person may give another text."""


def pair_texts(
    segments: Iterable[Segment], transcripts: Iterable[Transcript], engine_for: Callable[[str], object]
) -> tuple[list[Aligned], list[Unit]]:
    """Rows of the segments of one upload that need no alignment, and units of those that do."""
    texts = {row.index: row for row in transcripts}
    whole = texts.get(-1)
    rows: list[Aligned] = []
    units: list[Unit] = []
    unplaced: list[Segment] = []
    for segment in segments:
        own = texts.get(segment.index)
        if own is None and whole is not None:
            unplaced.append(segment)
        elif own is None or not own.text:
            rows.append(
                Aligned(
                    upload=segment.upload,
                    index=segment.index,
                    text="",
                    language=own.language if own else "",
                    words=(),
                    status="no_text",
                )
            )
        elif not engine_for(own.language):
            detail = f"align has no engine for language {own.language!r}"
            rows.append(
                Aligned(
                    upload=segment.upload,
                    index=segment.index,
                    text=own.text,
                    language=own.language,
                    words=(),
                    status="no_aligner",
                    detail=detail,
                )
            )
        else:
            units.append(_unit((segment,), own))
    if whole is not None and unplaced and engine_for(whole.language):
        units.append(_unit(unplaced, whole))
    elif whole is not None:
        why = f"the upload's text covers {len(unplaced)} segments, and no engine aligns language {whole.language!r}"
        rows += [
            Aligned(
                upload=s.upload,
                index=s.index,
                text="",
                language=whole.language,
                words=(),
                status="unplaced",
                detail=why,
            )
            for s in unplaced
        ]
    return rows, units


def _unit(segments: Iterable[Segment], text: Transcript) -> Unit:
    words = tuple(split(text.text, text.language))
    return Unit(tuple(segments), words, text.language, text.engine != "given")


def distribute(unit: Unit, alignment: Alignment, limits: FitLimits) -> list[Aligned]:
    """Rows of a unit: each word in the segment that holds most of it, in samples of the upload; then judged.

    The spans count from the start of the first segment, over the segments end to end. A silent word stays with the word
    before it; at the start of the text, with the word after it.
    """
    offsets = [0]
    for segment in unit.segments:
        offsets.append(offsets[-1] + segment.stop - segment.start)
    texts: list[list[str]] = [[] for _ in unit.segments]
    words: list[list[Word]] = [[] for _ in unit.segments]
    spans: list[list[Span]] = [[] for _ in unit.segments]
    place = next((_home(span, offsets) for span in alignment.spans if span), 0)
    for text, span in zip(unit.words, alignment.spans, strict=True):
        if span:
            place = _home(span, offsets)
            segment, shift = unit.segments[place], unit.segments[place].start - offsets[place]
            start, stop = max(span.start + shift, segment.start), min(span.stop + shift, segment.stop)
            words[place].append(Word(text, start, stop, span.score))
            spans[place].append(span)
        texts[place].append(text)
    rows = []
    shares = _shares(alignment.uncovered, offsets)
    # a recognised text leaves out phones too: only speech without a word counts against it
    heard = [None] * len(shares) if unit.is_recognised else _counts(alignment, offsets)
    for segment, written, timed, own, share, phones in zip(
        unit.segments, texts, words, spans, shares, heard, strict=True
    ):
        text = join(written, unit.language)
        row = Aligned(
            upload=segment.upload,
            index=segment.index,
            text=text,
            language=unit.language,
            words=tuple(timed),
            status="aligned",
        )
        missing = missing_share(share, own, phones)
        rows.append(judge(row, own, missing, limits) if timed else replace(row, text="", status="no_text"))
    return rows


def _shares(stretches: Sequence[tuple[Samples, Samples]], offsets: Sequence[Samples]) -> list[float]:
    """Share of each segment that lies in the stretches."""
    return [
        sum(max(0, min(stop, b) - max(start, a)) for start, stop in stretches) / max(b - a, 1)
        for a, b in itertools.pairwise(offsets)
    ]


def _counts(alignment: Alignment, offsets: Sequence[Samples]) -> list[float | None]:
    """Phones that a right text of each segment would have; None where the engine counts none."""
    if alignment.phones is None:
        return [None] * (len(offsets) - 1)
    places = sorted(alignment.phones)
    return [
        alignment.usual * (bisect.bisect_left(places, b) - bisect.bisect_left(places, a))
        for a, b in itertools.pairwise(offsets)
    ]


def _home(span: Span, offsets: list[int]) -> int:
    inside = [min(span.stop, b) - max(span.start, a) for a, b in itertools.pairwise(offsets)]
    return inside.index(max(inside))


def failed_rows(unit: Unit, why: str, align: Callable[[Unit], Alignment] | None = None) -> list[Aligned]:
    """Rows of a unit whose text has no path; a text of several segments is assigned to none of them.

    `align`: places a half of the text, to tell a text with words too many from that of another recording.
    """
    text = join(list(unit.words), unit.language) if len(unit.segments) == 1 else ""
    rows = (
        Aligned(upload=s.upload, index=s.index, text=text, language=unit.language, words=(), status="failed")
        for s in unit.segments
    )
    half = len(unit.words) // 2
    is_part = align and any(_fits(unit, words, align) for words in (unit.words[:half], unit.words[half:]))
    reason, more = (Reason.TEXT_SURPLUS, "; half of it fits the audio") if is_part else (Reason.UNALIGNED, "")
    return [refuse(row, reason, None, None, why + more) for row in rows]


def _fits(unit: Unit, words: tuple[str, ...], align: Callable[[Unit], Alignment]) -> bool:
    try:
        spans = [span for span in align(replace(unit, words=words)).spans if span]
    except Unalignable:
        return False
    return fitting_part(spans) >= 2 * PART
