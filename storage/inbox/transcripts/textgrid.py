"""TextGrid, Praat's annotation of a recording: the passages of the tier that holds what is said.

Method: as Praat reads it. Of a text file count only quoted strings (`""` is a quote), free-standing numbers, flags as
`<exists>`; all else is comment. So the long and the short form are one.
Which tier: those of phones, syllables, tones and points are passed over. Of the others one is the text if it is alone,
or by its name (`words`, `utterances`, `text`, ...; of one speaker's, `utterances` before `words`); `anna - words`, as
the Montreal Forced Aligner writes it, says who speaks. Several tiers without such a name may be speakers, glosses or
translations: none is taken.
Source: Praat manual, "TextGrid file formats" (2018) and "Text file formats".
"""

import re
from collections.abc import Iterator

from voicemill.storage.inbox.transcripts.rows import Passage

TEXTGRID = ".textgrid"
_TEXT_NAMES = """
text transcript transcription transcriptions trans utterance utterances sentence sentences orthography ort speech spoken
words word ort-mau
"""
_TEXT = _TEXT_NAMES.split()
"""Names of tiers of text, the one that counts first."""
_OTHER_NAMES = """
phones phone phonemes phoneme segments segment phon phn mau kan syllables syllable syl ipa sampa pitch tones tone tobi
breaks break notes note comment comments pos gloss translation
"""
_OTHER = frozenset(_OTHER_NAMES.split())
SILENCES = frozenset(["", "sil", "sp", "spn", "<eps>", "<sil>", "<p:>", "<unk>", "#", "pau", "_"])
_TOKEN = re.compile(r'!.*|"(?:[^"]|"")*"|(?<!\S)[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\S)|<\w+>')

Tier = tuple[str, list[tuple[float, float, str]]]


def read_textgrid(text: str) -> tuple[Passage, ...]:
    """Passages of the text, by time.

    Raises:
        ValueError: it is no TextGrid in a text format, or which tier holds the text cannot be told.
    """
    tokens = (token for token in _TOKEN.findall(text) if not token.startswith("!"))
    tiers = [tier for tier in _tiers(tokens) if any(_spoken(label) for _, _, label in tier[1])]
    named = [(*_split(name), rows, name) for name, rows in tiers]
    candidates = [tier for tier in named if tier[1] not in _OTHER]
    if len(candidates) > 1:
        texts = [tier for tier in candidates if tier[1] in _TEXT]
        first: dict[str, tuple[str, str, list[tuple[float, float, str]], str]] = {}
        for tier in sorted(texts, key=lambda tier: _TEXT.index(tier[1])):
            first.setdefault(tier[0], tier)
        candidates = list(first.values())
        if not candidates or (len(candidates) > 1 and "" in first):
            names = ", ".join(repr(tier[3]) for tier in named)
            raise ValueError(f"which of its tiers ({names}) is the text cannot be told: name that one 'text'")
    passages = [
        Passage(a, b, " ".join(x.split()), who) for who, _, rows, _ in candidates for a, b, x in rows if _spoken(x)
    ]
    return tuple(sorted(passages, key=lambda passage: (passage.start, passage.stop)))


def _spoken(label: str) -> bool:
    return label.strip().lower() not in SILENCES


def _split(name: str) -> tuple[str, str]:
    """Speaker and kind of a tier by its name; the speaker is "" where it names only the kind."""
    speaker, _, kind = name.rpartition(" - ")
    return speaker.strip(), kind.strip().lower()


def _tiers(tokens: Iterator[str]) -> Iterator[Tier]:
    """Interval tiers by their names.

    Raises:
        ValueError: the tokens are not those of a TextGrid.
    """
    try:
        head = (_string(next(tokens)), _string(next(tokens)))
        if head != ("ooTextFile", "TextGrid"):
            raise ValueError(f"no TextGrid in a text format: it begins with {head}")
        _number(next(tokens)), _number(next(tokens))
        if next(tokens) != "<exists>":
            return
        for _ in range(_count(next(tokens))):
            kind, name = _string(next(tokens)), _string(next(tokens))
            _number(next(tokens)), _number(next(tokens))
            size = _count(next(tokens))
            if kind == "IntervalTier":
                rows = [(_number(next(tokens)), _number(next(tokens)), _string(next(tokens))) for _ in range(size)]
                yield name, rows
            elif kind == "TextTier":
                for _ in range(2 * size):
                    next(tokens)
            else:
                raise ValueError(f"a tier of the kind {kind!r} is not known")
    except (StopIteration, RuntimeError) as error:
        raise ValueError("no TextGrid in a text format, or it ends too early") from error


def _string(token: str) -> str:
    if token[:1] != '"':
        raise ValueError(f"no TextGrid in a text format: a string is expected, not {token[:40]!r}")
    return token[1:-1].replace('""', '"')


def _number(token: str) -> float:
    try:
        return float(token)
    except ValueError as error:
        raise ValueError(f"no TextGrid in a text format: a number is expected, not {token[:40]!r}") from error


def _count(token: str) -> int:
    number = _number(token)
    if not 0 <= number <= 1e7:
        raise ValueError(f"a count of {token[:40]}")
    return int(number)
