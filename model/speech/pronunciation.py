"""Phones of each written word, for the small aligners; WILD for what the letters of a language do not tell.

Chinese and English are read by the front ends that training and speaking use: initials and finals without tones,
ARPAbet without stress. German goes by a table of letter groups: enough to align, too little to speak. Every other
language that is written in letters with spaces between its words is taken letter by letter (Hangul by its jamo):
graphemes align nearly as well as phones where spelling is regular. Words with digits, and letters of other scripts, are
WILD: one for each character, and three for a digit, which is read as a word.
Source: Killer, Stüker, Schultz, Eurospeech 2003 (grapheme units); Duden, Aussprachewörterbuch, for the German table.
"""

import re
import unicodedata
from collections.abc import Sequence

from voicemill.model.speech.words import is_sounded, spoken_english
from voicemill.storage.errors import ConfigError

VERSION = 1
"""Grows when a word gets other phones, so that what was aligned with the old ones is aligned again."""
WILD = "*"
"""A sound that is not known: it takes any phone."""
WITHOUT = frozenset({"ja", "yue", "th", "km", "lo", "my", "bo"})
"""Languages written without spaces whose words have no phones here."""
ZERO = frozenset({"AA", "EE", "OO"})
"""Initials of Chinese syllables that begin with their vowel: no sound of their own."""

_FINALS = {
    "ia": "i a", "ian": "i En", "iang": "i ang", "iao": "i ao", "ie": "i E", "iong": "i ong", "iu": "i ou",
    "ua": "u a", "uai": "u ai", "uan": "u an", "uang": "u ang", "ui": "u ei", "un": "u en", "uo": "u o",
    "van": "v En", "ve": "v E", "vn": "v in",
}  # fmt: skip
"""Chinese finals with a medial -> medial and rime: 20 rimes have examples enough where 37 finals have not."""

_GERMAN = {
    "tsch": "t S", "sch": "S", "chs": "k s", "ch": "x", "ck": "k", "ph": "f", "qu": "k v", "th": "t", "tz": "ts",
    "dt": "t", "ß": "s", "ie": "i:", "eu": "OY", "äu": "OY", "ei": "aI", "ai": "aI", "ey": "aI", "ay": "aI", "au": "aU",
    "ng": "N", "z": "ts", "v": "f", "w": "v", "x": "k s", "c": "k", "y": "ü", "ah": "a:", "aa": "a:", "eh": "e:",
    "ee": "e:", "ih": "i:", "ieh": "i:", "oh": "o:", "oo": "o:", "uh": "u:", "äh": "ä", "öh": "ö", "üh": "ü", "rh": "r",
}  # fmt: skip
"""Letters -> phones; the longest group first, every other letter is its own phone."""
_GROUPS = re.compile("|".join(sorted(_GERMAN, key=len, reverse=True)) + r"|[a-zäöü]")
_FINAL = {"b": "p", "d": "t", "g": "k"}
"""Letter -> phone of the plosives that German devoices at the end of a word."""
_PLAIN = str.maketrans(
    {"é": "e", "è": "e", "ê": "e", "á": "a", "à": "a", "â": "a", "ó": "o", "ô": "o", "ç": "s", "ñ": "n"}
)


def pronounce(words: Sequence[str], language: str) -> list[tuple[str, ...]]:
    """Phones of each word of a text in order; () for words without sound.

    Raises:
        ConfigError: this language has no phones here.
    """
    if language in WITHOUT:
        raise ConfigError(
            f"a small aligner has no phones for language {language!r}, which is written without spaces: set "
            f"align.models.{language} to a model with a CTC head"
        )
    if language == "zh":
        return _chinese(words)
    if language == "en":
        spoken = spoken_english(words)
        return [tuple(phone.rstrip("012") for part in word for phone in part.phones) for word in spoken]
    read = german if language == "de" else _letters
    return [read(word) if is_sounded(word) else () for word in words]


def german(word: str) -> tuple[str, ...]:
    """Phones of a German word by its letters."""
    lower = unicodedata.normalize("NFC", word).lower().translate(_PLAIN)
    letters = re.sub(r"[^a-zäöüß]", "", lower)
    if not letters or re.search(r"\d", lower):
        return _wild(word)
    letters = re.sub(r"([bdfgklmnprst])\1", r"\1", letters)
    letters = re.sub(r"^s(?=[tp])", "sch", letters)
    phones = [phone for group in _GROUPS.findall(letters) for phone in _GERMAN.get(group, group).split()]
    return (*phones[:-1], _FINAL.get(phones[-1], phones[-1]))


def _letters(word: str) -> tuple[str, ...]:
    """Letters of a word in lower case, each once in a row; jamo for Hangul."""
    if re.search(r"\d", word):
        return _wild(word)
    folded = unicodedata.normalize("NFKC", word).casefold()
    folded = unicodedata.normalize("NFD", folded) if re.search("[가-힣]", folded) else folded
    letters = [char for char in folded if unicodedata.category(char)[0] in "LM"]
    return tuple(char for at, char in enumerate(letters) if not at or char != letters[at - 1]) or _wild(word)


def _wild(word: str) -> tuple[str, ...]:
    return (WILD,) * max(1, sum(3 if char.isdigit() else char.isalpha() for char in word))


def _chinese(words: Sequence[str]) -> list[tuple[str, ...]]:
    from voicemill.model.text.frontend import phonemes
    from voicemill.model.text.written import stretches

    phones: list[tuple[str, ...]] = [()] * len(words)
    sounded = [at for at, word in enumerate(words) if is_sounded(word)]
    if not sounded:
        return phones
    reading = phonemes("".join(words), "zh")
    blocks = stretches(reading, [words[at] for at in sounded])
    if blocks is None:
        for at in sounded:
            phones[at] = _wild(words[at])
        return phones
    for block in blocks:
        sounds = _rimes([re.sub(r"\d$", "", p) for p in reading.phones[slice(*block.phones)] if p[0].isalpha()])
        own = sounded[slice(*block.words)]
        for number, at in enumerate(own):  # words that are read together share the sounds evenly
            phones[at] = tuple(sounds[number * len(sounds) // len(own) : (number + 1) * len(sounds) // len(own)])
    return phones


def _rimes(phones: Sequence[str]) -> list[str]:
    """Initials and finals with their medials apart; y and w are the medials that they are."""
    sounds: list[str] = []
    for phone in phones:
        for sound in _FINALS.get(phone, phone).split():
            if sounds and sounds[-1] in ("y", "w"):
                glide = {"y": "i", "w": "u"}[sounds.pop()]
                sounds += [] if sound[0] == glide or sound[0] == "v" else [glide]
            if sound not in ZERO:
                sounds.append(sound)
    return sounds or [WILD]
