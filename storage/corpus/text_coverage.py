"""Share of a corpus version's utterances that have a text and word times, and why the others have none.

A voice learns from utterances with a text, so a speaker without any cannot be trained: the lines here say why, and what
gives them one. Reads five small columns and the texts of the utterances.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import Seconds, to_seconds

NAMED = 3
"""Speakers that a line names, at most."""


@dataclass(frozen=True, kw_only=True)
class TextShare:
    """Text of one speaker's utterances in one language; "" = the language is not known."""

    speaker: str
    language: str
    utterances: int
    seconds: Seconds
    with_text: int
    text_seconds: Seconds
    """Seconds of the utterances with a text."""
    with_times: int
    """Number of utterances whose words have times."""
    gaps: Mapping[str, int]
    """Reason -> number of utterances without a text; "" = not recorded."""


@dataclass(frozen=True, kw_only=True)
class TextGap:
    """Utterances without a text, in one language and for one reason."""

    speakers: tuple[str, ...]
    untrainable: bool
    """Whether these speakers have no text at all; the others have some."""
    language: str
    reason: str
    utterances: int

    @property
    def line(self) -> str:
        """Who lacks how much, why, and what gives them a text."""
        more = len(self.speakers) - NAMED
        who = ", ".join(self.speakers[:NAMED]) + (f" and {more} more" if more > 0 else "")
        many = "" if self.utterances == 1 else "s"
        return f"{who}: {self.utterances} utterance{many} without text: {remedy(self.reason, self.language)}"


def text_shares(corpus: CorpusVersion) -> list[TextShare]:
    """Shares of every speaker and language, sorted by both."""
    columns = ("speaker", "language", "start", "stop", "text", "alignment", "text_reason")
    table = corpus.utterances(columns)
    groups: dict[tuple[str, str], list[tuple[int, bool, bool, str]]] = defaultdict(list)
    for speaker, language, start, stop, text, alignment, reason in zip(
        *(table[name].to_pylist() for name in columns), strict=True
    ):
        groups[speaker, language].append((stop - start, bool(text.strip()), alignment == "aligned", reason or ""))
    return [
        TextShare(
            speaker=speaker,
            language=language,
            utterances=len(rows),
            seconds=to_seconds(sum(samples for samples, *_ in rows)),
            with_text=sum(text for _, text, *_ in rows),
            text_seconds=to_seconds(sum(samples for samples, text, *_ in rows if text)),
            with_times=sum(times for _, text, times, _ in rows if text),
            gaps=Counter(reason for _, text, _, reason in rows if not text),
        )
        for (speaker, language), rows in sorted(groups.items())
    ]


def text_gaps(shares: Iterable[TextShare], speakers: Collection[str] = ()) -> list[TextGap]:
    """Gaps of the speakers (default: of all), those who have no text at all first, then by number of utterances."""
    shares = [share for share in shares if not speakers or share.speaker in speakers]
    has_text = {share.speaker for share in shares if share.with_text}
    groups: dict[tuple[bool, str, str], Counter[str]] = defaultdict(Counter)
    for share in shares:
        for reason, count in share.gaps.items():
            groups[share.speaker not in has_text, share.language, reason][share.speaker] += count
    gaps = [
        TextGap(
            speakers=tuple(name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
            untrainable=untrainable,
            language=language,
            reason=reason,
            utterances=counts.total(),
        )
        for (untrainable, language, reason), counts in groups.items()
    ]
    return sorted(gaps, key=lambda gap: (not gap.untrainable, -gap.utterances, gap.language, gap.reason))


def remedy(reason: str, language: str) -> str:
    """Why utterances in a language have no text, and what gives them one."""
    match reason:
        case Reason.NO_RECOGNISER:
            name = language or "their language"
            return f"no recogniser for {name} on this machine; give transcripts or set [transcribe] model"
        case Reason.NO_TRANSCRIPT:
            return 'no transcript came with them; give transcripts or set [transcribe] engine = "auto"'
        case Reason.UNKNOWN_LANGUAGE:
            return (
                "no language is stated, and it does not sound like one that the recogniser knows; state it "
                "(--language, languages.csv), give transcripts or set [transcribe] model"
            )
        case Reason.UNFIT_TEXT | Reason.UNPLACED_TEXT:
            return f"{_meaning(reason)}; correct the transcripts"
        case "":
            return "give transcripts, or set [transcribe] engine, and run `voicemill refresh`"
    return f"{_meaning(reason)}; give transcripts"


def _meaning(reason: str) -> str:
    known = Reason(reason).meaning if reason in set(Reason) else reason
    return known.removeprefix("kept without text: ")
