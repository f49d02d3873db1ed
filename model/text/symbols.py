"""The phone symbols of GPT-SoVITS and their ids: 732 in version 2, whose first 322 are those of version 1.

Version 1 is the sorted set of the pad, Mandarin initials and finals with tones 1-5, Japanese phones, punctuation and
ARPAbet; version 2 appends the marks of Japanese pitch, Korean letters and sorted Cantonese (initials, finals with tones
1-6, each behind a `Y`). The order is part of every checkpoint: an id is a row of its embedding.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAD = "_"
UNKNOWN = "UNK"
PUNCTUATION = ("!", "?", "…", ",", ".", "-")
PAUSES = ("SP", "SP2", "SP3")

_INITIALS = "AA EE OO b c ch d f g h j k l m n p q r s sh t w x y z zh"
_FINALS = (
    "E En a ai an ang ao e ei en eng er i i0 ia ian iang iao ie in ing iong ir iu o ong ou u ua uai uan uang ui un uo "
    "v van ve vn"
)
_JAPANESE = "I N U a b by ch cl d dy e f g gy h hy i j k ky m my n ny o p py r ry s sh t ts u v w y z"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"

_KOREAN = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅓㅔㅗㅜㅡㅣ停空"
_CANTONESE = "a aa ai ak au b c d e f g gw h j k kw l m n ng o oi ok on ou p s t uk w z"
_CANTONESE_TONED = (
    "a aa aai aak aam aan aang aap aat aau ai ak am an ang ap at au e ei ek eng eoi eon eot g i ik im in ing ip it iu "
    "k m n o oe oek oeng oi ok on ong ot ou p t u ui uk un ung ut yu yun yut"
)


def with_tones(stems: str, tones: str) -> set[str]:
    """Every stem followed by every tone or stress."""
    return {stem + tone for stem in stems.split() for tone in tones}


ARPABET = frozenset(_CONSONANTS.split()) | with_tones(_VOWELS, "012")
"""English phones with stress: 0 none, 1 primary, 2 secondary."""

SYMBOLS_V1: tuple[str, ...] = tuple(
    sorted(
        {PAD, UNKNOWN, *PUNCTUATION, *PAUSES, *_INITIALS.split(), *_JAPANESE.split(), "ER", "IH"}
        | with_tones(_FINALS, "12345")
        | ARPABET
    )
)
SYMBOLS: tuple[str, ...] = (
    *SYMBOLS_V1,
    *"[]",
    *_KOREAN,
    *sorted({"Y" + stem for stem in {*_CANTONESE.split(), *with_tones(_CANTONESE_TONED, "123456")}}),
)

_ID = {symbol: i for i, symbol in enumerate(SYMBOLS)}


@dataclass(frozen=True)
class Ids:
    """Phones as rows of the embedding."""

    ids: "NDArray[np.int64]"
    """int64 [phones], 0..731."""
    unknown: tuple[str, ...]
    """Phones that the table lacks, in order, with repetitions; their id is that of `UNK`."""


def ids(phones: Iterable[str]) -> Ids:
    """Phones -> ids of version 2 (below 322 those of version 1). What the table lacks becomes `UNK` and is listed."""
    import numpy as np

    phones = list(phones)
    numbers = np.array([_ID.get(phone, _ID[UNKNOWN]) for phone in phones], dtype=np.int64)
    return Ids(numbers, tuple(phone for phone in phones if phone not in _ID))
