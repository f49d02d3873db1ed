"""One spelling for English words that are written in several ways, so that transcripts can be compared.

American spelling for British (colour, realise, centre, travelled), the full ending for an elided one (remember'd);
annotations (<noise>, [laughter]) and hesitations (uh, um) are left out. A rule only applies where the dictionary has
the American word and reads it in the stated way: four, source, mourning, prise, hire, timbre and called stay.
Words that sound alike and mean different things (heir, air) stay different.
Why not Whisper's normaliser (Radford et al. 2022, appendix C), from which hesitations and annotations are taken: it
brings a list of 1,700 words and also expands contractions, of which `'s` is ambiguous.
"""

import re
from functools import lru_cache

from voicemill.model.text.english.lexicon import lexicon

ANNOTATION = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
HESITATION = re.compile(r"\b(?:hmm|mhm|mmm|uh|um)\b(?!['’-])[,.…]*", re.IGNORECASE)
ELISION = re.compile(r"\b([a-z]{4,})['’]d\b", re.IGNORECASE)
RULES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile("our(?!s[et]|t)"), "or", "ER0"),
    (re.compile("(?<=[a-z]{2})is(?=e|ing|ation)"), "iz", "AY2 Z|AH0 Z EY1"),
    (re.compile("ys(?=e|ing)"), "yz", "AY2 Z"),
    (re.compile("(?<=[b-df-hj-np-tv-xz])(?<!mb)re(?=s?$)"), "er", "ER0"),
    (re.compile("ll(?=ed$|ing$|ers?$)"), "l", "AH0 L"),
    (re.compile("ogue"), "og", "AO[012] G|AA[012] G"),
    (re.compile("(?<=[fct])ence(?=s?$)"), "ense", "EH[12] N S"),
    (re.compile("[ao]e"), "e", "IY[012]|EH[012]"),
    (re.compile("^grey"), "gray", "EY1"),
)
"""British letters, American letters, and what the reading of the American word must hold."""


def uniform(text: str) -> str:
    """A text, words in any case, without annotations and hesitations, its words in one spelling.

    Raises ModelMissing where the wheel with the dictionary is not installed.
    """
    text = HESITATION.sub(" ", ANNOTATION.sub(" ", text))
    text = ELISION.sub(_in_full, text)
    return re.sub("[A-Za-z]{4,}", lambda match: american(match[0]), text)


def american(word: str) -> str:
    """American spelling of a word, which other words keep as theirs."""
    spelling = _american(word.lower())
    return word if spelling == word.lower() else spelling


@lru_cache(maxsize=65536)
def _american(word: str) -> str:
    known = lexicon()
    british = known.first(word)
    for letters, other, reading in RULES:
        spelling = letters.sub(other, word, count=1)
        sound = known.first(spelling) if spelling != word else None
        if sound and british in (None, sound) and re.search(reading, " ".join(sound)):
            return spelling
    return word


def _in_full(match: re.Match[str]) -> str:
    """Verb with the ending -ed for one in 'd, unless the dictionary lacks it: there'd, that'd."""
    stem = match[1].lower()
    return next((full for full in (stem + "ed", stem + "d") if lexicon().knows(full)), match[0])
