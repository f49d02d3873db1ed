"""Guards of recognised text: signs that a recogniser invented or repeated words, and the rule that refuses the text.

Whisper writes fluent text for any sound. Each sign is a number that is compared with a limit: the mean log probability
of the tokens, the probability of no speech, the ratio by which zlib compresses the text, the share of the text that is
one phrase repeated, and characters per second of speech.
Source: Radford et al. 2022, section 4.5 (compression ratio 2.4, mean log probability -1, no speech .6); faster-whisper.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from voicemill.storage.outcomes import Reason
from voicemill.storage.settings_file import FrozenSettings
from voicemill.storage.units import Seconds


class Limits(FrozenSettings):
    """Limits of the guards."""

    min_score: float = Field(-1.0, le=0.0)
    """Mean log probability of a token below which a text is refused. Default: Whisper's own."""
    max_no_speech: float = Field(0.6, ge=0.0, le=1.0)
    """Probability of no speech above which a text is refused. Default: Whisper's own."""
    max_compression: float = Field(2.4, ge=1.0)
    """Ratio of zlib above which a text repeats itself. Default: Whisper's own."""
    max_repeated: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the words that is one phrase again and again, above which a text is refused. Default: our own."""
    min_chars_per_s: float = Field(1.5, ge=0.0)
    """Characters per second of audio below which a text is refused. Default: our own; 460 segments of people have 2.0
    and more, texts of a guitar or a tap less."""
    max_chars_per_s: float = Field(30.0, gt=0.0)
    """Characters per second of audio above which a text is refused. Default: our own; people read 10 to 22."""


@dataclass(frozen=True)
class Refusal:
    """The guard that refuses a text, with the value that it measured and its limit."""

    reason: Reason
    value: float | None = None
    limit: float | None = None


def refusal(text: str, seconds: Seconds, score: float, no_speech: float, limits: Limits) -> Refusal | None:
    """The first guard that refuses a text, else None.

    Args:
        seconds: length of the audio.
        score: mean log probability of the tokens.
        no_speech: probability that the audio holds no speech, 0..1.
    """
    letters = sum(char.isalnum() for char in text)
    if not letters:
        return Refusal(Reason.NO_WORDS, 0.0, 1.0)
    if no_speech > limits.max_no_speech:
        return Refusal(Reason.DOUBTFUL_SPEECH, no_speech, limits.max_no_speech)
    if score < limits.min_score:
        return Refusal(Reason.DOUBTFUL_TEXT, score, limits.min_score)
    ratio = compression(text)
    if ratio > limits.max_compression:
        return Refusal(Reason.REPEATED_TEXT, ratio, limits.max_compression)
    share = repeated(text.split())
    if share > limits.max_repeated:
        return Refusal(Reason.REPEATED_TEXT, share, limits.max_repeated)
    rate = len(text) / max(seconds, 1e-3)
    if rate < limits.min_chars_per_s:
        return Refusal(Reason.TEXT_TOO_SHORT, rate, limits.min_chars_per_s)
    if rate > limits.max_chars_per_s:
        return Refusal(Reason.TEXT_TOO_LONG, rate, limits.max_chars_per_s)
    return None


def compression(text: str) -> float:
    """Bytes of a text divided by its bytes compressed by zlib; ordinary sentences have 1 to 1.7."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


LONGEST_PHRASE = 8
"""Words of the longest phrase whose repetition is looked for."""


def repeated(words: Sequence[str]) -> float:
    """Largest share of the words that is one phrase three times in a row or more; 0 without one.

    Runs of fewer than six words only count where they are the whole text: people say "no, no, no" before they go on.
    zlib sees a repetition only in long texts; a segment of some seconds has few words.
    """
    plain = _plain(words)
    fewest = min(6, len(plain))
    longest = [run for n in range(1, LONGEST_PHRASE + 1) for run in _runs(plain, n) if run >= max(3 * n, fewest)]
    return max(longest, default=0) / max(len(plain), 1)


def repeats_itself(words: Sequence[str]) -> bool:
    """Whether a phrase of two words or more stands twice in a row. People do so now and then; a decoder that misses the
    end of the speech says its last phrase, or all of it, again."""
    plain = _plain(words)
    return any(max(_runs(plain, size), default=0) >= 2 * size for size in range(2, len(plain) // 2 + 1))


def _plain(words: Sequence[str]) -> list[str]:
    return ["".join(filter(str.isalnum, word)).casefold() for word in words]


def _runs(words: Sequence[str], size: int) -> Iterator[int]:
    """Yield, for each word, the length of the stretch up to it that repeats with a period of `size` words."""
    run = size
    for at in range(size, len(words)):
        run = run + 1 if words[at] == words[at - size] else size
        yield run
