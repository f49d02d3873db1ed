"""How well a text fits the audio that it was aligned with: measures, and the reason for which a text is refused.

Four signs, each with its limit. The lower quartile of the word scores; low: the text of another recording. How much of
the speech is missing in the text: the share of the segment that is speech without a word (`coverage`), and 0.7 of what
the phones of the text fall short of those that the audio has by itself. The score of the worst run of words; low: words
too many, which a forced alignment squeezes in where they are not spoken. And phones per second, which need no aligner,
so they judge every language; their limits are those that training has had.
The phones of the audio tell more than the speaker's own rate: of 222 texts without their middle third they alone find
86 % where 1 % of the right ones is lost, phones per second against the median of the speaker's others 70 %.
Calibrated and measured by tests/bench/text_witness.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from voicemill.model.speech.pronunciation import WITHOUT, pronounce
from voicemill.model.speech.words import Span, split
from voicemill.storage.outcomes import Reason
from voicemill.storage.records import Aligned
from voicemill.storage.settings_file import FrozenSettings
from voicemill.storage.units import RATE, Samples

VERSION = 2
"""Grows when a text is judged otherwise."""
RUN = 8
"""Phones of the shortest run of words that is judged: single short words of right texts are reduced or swallowed."""
WELL, PART = 0.5, 0.3
"""Score of a word that fits, and share of the phones of a text that one run of them makes up where the text is that of
the audio in part; of a text of another recording it is under 0.25 in 95 of 100."""
MOSTLY = 0.5
"""Estimate of the missing share from which a text is incomplete, however badly its few words fit: those of one word are
stretched over the speech that it lacks."""
CHARACTER = 2.5
"""Phones of a kana or Chinese character in languages whose words have no phones without an extra library."""
READ = frozenset({"zh", "en", "ko"})
"""Languages whose front end is always there."""


@dataclass(frozen=True)
class FitLimits:
    """Bounds of a text that belongs to its audio."""

    score: float
    """Least lower quartile of the word scores, 0..1."""
    missing: float
    """Highest estimate of the share of a segment that is spoken and not in the text, 0..1."""
    run: float = 0.0
    """Least score of a run of words, 0..1."""


@dataclass(frozen=True)
class RateLimits:
    """Bounds of the phones per second of a text."""

    fewest: float
    most: float


class FitSettings(FrozenSettings):
    """Limits beyond which a text is refused."""

    min_score: float = Field(0.33, ge=0.0, le=1.0)
    """Lower quartile of a segment's word scores below which an alignment by pocketsphinx has failed. Default calibrated
    on people and synthetic voices (tests/bench/align_calibration.py); for people alone 0.5 lets less through."""
    min_score_ctc: float = Field(0.2, ge=0.0, le=1.0)
    """The same quartile for ctc. Default: ours; correct texts have 0.5 and more, and the scores of a small aligner are
    scaled when it is trained, so that this default parts right from wrong texts."""
    max_uncovered: float = Field(0.2, ge=0.0, le=1.0)
    """Highest share of a segment that may be spoken and not in a given text, 0..1. Default calibrated on people who
    read (tests/bench/text_witness.py)."""
    max_uncovered_recognised: float = Field(0.3, ge=0.0, le=1.0)
    """The same share for a recognised text. Of 151 recordings of one speaker none has over 0.08, meetings have more."""
    min_run: float = Field(0.26, ge=0.0, le=1.0)
    """Least score of any run of words of 8 phones or more, by pocketsphinx. Default calibrated as `max_uncovered`."""
    fewest_phones: float = Field(2.0, ge=0.0)
    """Fewest phones per second of a text, in every language. Default: as `data.fewest_phones` of a training."""
    most_phones: float = Field(30.0, gt=0.0)
    """Most phones per second. Default: as `data.most_phones` of a training."""

    def fit_limits(self, *, is_ctc: bool, is_recognised: bool) -> FitLimits:
        """Limits of an aligned text. Runs are not judged by the mean probabilities of ctc models: not calibrated."""
        return FitLimits(
            score=self.min_score_ctc if is_ctc else self.min_score,
            missing=self.max_uncovered_recognised if is_recognised else self.max_uncovered,
            run=0.0 if is_ctc or is_recognised else self.min_run,
        )

    @property
    def rate_limits(self) -> RateLimits:
        """Limits of the phones per second of any text."""
        return RateLimits(self.fewest_phones, self.most_phones)


def quality(scores: Sequence[float]) -> float:
    """Lower quartile of the word scores: some words of a wrong text fit the audio by chance."""
    return float(np.quantile(scores, 0.25))


def worst_run(spans: Sequence[Span]) -> tuple[float, range]:
    """Score of the words in a row that fit worst, and which they are: the geometric mean of their scores by phones.

    A run has `RUN` phones or just over; a text of fewer phones is one run.
    """
    phones = np.array([max(span.phones, 1) for span in spans])
    logs = phones * np.log(np.maximum([span.score for span in spans], 1e-6))
    ends, sums = np.concatenate([[0], np.cumsum(phones)]), np.concatenate([[0.0], np.cumsum(logs)])
    worst = (1.0, range(0))
    for first in range(len(spans)):
        stop = int(np.searchsorted(ends, ends[first] + RUN))
        if stop > len(spans) and first:
            break
        stop = min(stop, len(spans))
        score = float(np.exp((sums[stop] - sums[first]) / (ends[stop] - ends[first])))
        if score <= worst[0]:
            worst = (score, range(first, stop))
    return worst


def fitting_part(spans: Sequence[Span]) -> float:
    """Share of the phones that the best run of words that fit makes up; a word that does not fit takes its own away."""
    best = run = 0
    for span in spans:
        run = max(0, run + (span.phones if span.score >= WELL else -span.phones))
        best = max(best, run)
    return best / max(sum(span.phones for span in spans), 1)


WEIGHT = 0.7
"""Share of the phones that fall short that counts as missing speech."""
ALLOWED = 2.0
"""Phones by which a text may fall short of its audio: the decoder also finds some in breaths and drawn-out sounds."""


def missing_share(uncovered: float, spans: Sequence[Span], phones: float | None) -> float:
    """Estimate of the share of a segment that is spoken and not in its text, 0..1.

    `uncovered`: share that is speech without a word; `phones`: those that a right text would have, None = not counted.
    """
    if not phones:
        return uncovered
    short = 1 - (sum(span.phones for span in spans) + ALLOWED) / phones
    return min(1.0, uncovered + WEIGHT * max(0.0, short))


def judge(row: Aligned, spans: Sequence[Span], missing: float, limits: FitLimits) -> Aligned:
    """`row` with its measures, and as failed where they are beyond the limits or a word has no length.

    `spans`: those of the words of the row; `missing`: see `missing_share`.
    """
    score, (run, place) = quality([span.score for span in spans]), worst_run(spans)
    row = replace(row, fit=score, missing=missing, worst_run=run)
    if any(word.stop <= word.start for word in row.words):
        return refuse(row, Reason.UNALIGNED, None, None, "a word has no length")
    lacks_most = missing > max(MOSTLY, limits.missing)
    if score < limits.score and not lacks_most and fitting_part(spans) < PART:
        why = f"a quarter of its words score under {score:.3f}, less than {limits.score:g}: "
        return refuse(row, Reason.UNALIGNED, score, limits.score, f"{why}this is not the text of this audio")
    if missing > limits.missing:
        why = f"speech without a word of the text, and phones that it lacks, score {missing:.0%} of the segment"
        return refuse(row, Reason.TEXT_INCOMPLETE, missing, limits.missing, f"{why}, more than {limits.missing:.0%}")
    if score < limits.score:
        why = f"a quarter of its words score under {score:.3f}, less than {limits.score:g}: they are not spoken there"
        return refuse(row, Reason.TEXT_SURPLUS, score, limits.score, why)
    if run < limits.run:
        words = " ".join(row.words[at].text for at in place)
        why = f"{words!r} scores {run:.3f}, less than {limits.run:g}: these words are not spoken there"
        return refuse(row, Reason.TEXT_SURPLUS, run, limits.run, why)
    return row


def refuse(row: Aligned, reason: Reason, measure: float | None, limit: float | None, detail: str) -> Aligned:
    """`row` as failed for a reason."""
    return replace(row, words=(), status="failed", reason=reason.value, measure=measure, limit=limit, detail=detail)


def check_rate(row: Aligned, samples: Samples, limits: RateLimits) -> Aligned:
    """`row` with its phones per second, and as failed where a text that fits has too few or too many."""
    if not row.text.strip():
        return row
    rate = phones_in(row.text, row.language) * RATE / max(samples, 1)
    row = replace(row, phone_rate=rate)
    if row.status == "failed" or limits.fewest <= rate <= limits.most:
        return row
    few = rate < limits.fewest
    limit = limits.fewest if few else limits.most
    why = f"{rate:.1f} phones a second, {'fewer' if few else 'more'} than {limit:g}: "
    why += "words are missing" if few else "words are too many"
    return refuse(row, Reason.TEXT_INCOMPLETE if few else Reason.TEXT_SURPLUS, rate, limit, why)


def phones_in(text: str, language: str) -> float:
    """Number of phones of a text: as training counts them, else by the letters that its language is written with."""
    from voicemill.model.text.frontend import HAN, KANA, language_of, phonemes

    name = language_of(text, language)
    if name in READ:
        return len(phonemes(text, name).ids)
    words = split(text, name)
    if name in WITHOUT:
        return sum(CHARACTER if re.match(f"[{HAN}{KANA}]", char) else char.isalnum() for word in words for char in word)
    return sum(map(len, pronounce(words, name)))
