"""Normal form of English text: words as read aloud in lower case, letters as single capitals, marks of the table."""

import re
import unicodedata

from voicemill.model.text.english.abbreviations import abbreviations, addresses, capitals, initials, signs
from voicemill.model.text.english.lexicon import lexicon
from voicemill.model.text.english.numbers import entries, ordinal
from voicemill.model.text.english.quantities import spell_out

MARKS = str.maketrans(
    dict.fromkeys(";:()[]{}|、，；：", ",") | {"。": "."} | dict.fromkeys("—–―", "-")
    | {"？": "?", "！": "!", "~": "…"}
)  # fmt: skip
QUOTES = str.maketrans(dict.fromkeys("‘’ʼ`´′", "'") | dict.fromkeys("“”„«»‹›″", '"'))
STRENGTH = "?!….,-"
"""Marks in order of strength: of several in a row the strongest is kept."""
PASSES = 4
"""Most passes over a text: the output of one may hold an abbreviation for the next. A sentence needs one, and another
that changes nothing."""
FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}
LETTERS = {"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "ł": "l", "Ł": "L", "đ": "d", "þ": "th"}


GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψως",
        entries(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon "
            "phi chi psi omega sigma"
        ),
        strict=True,
    )
)
"""Names of Greek letters, which are read where they stand alone or in pairs."""


def normalise(text: str) -> str:
    """Normal form of any text: lower-case words (I and spelt letters are capitals), single spaces, `!,-.?…`.

    Numbers, dates, times, money, telephone numbers, units, abbreviations, acronyms, addresses and signs become words;
    a hyphen between words becomes a space, a dash `-`; quotes and unknown characters are dropped. Idempotent. A text
    with nothing to read aloud gives "".
    """
    for _ in range(PASSES):
        before, text = text, _pass(text)
        if text == before:
            break
    return text


def _pass(text: str) -> str:
    """One pass over the text; `normalise` repeats it until nothing changes."""
    # a line that the next one continues is no sentence
    text = re.sub(r"\s*[\n\r]\s*(?=[\n\rA-Z]|$)", ". ", plain(text))
    text = signs(abbreviations(addresses(_calmed(text))))
    text = spell_out(text)
    text = re.sub("(?<![α-ωΑ-Ω])[α-ωΑ-Ω]{1,2}(?![α-ωΑ-Ω])", _greek, text)
    text = re.sub(r"\.{2,}", "…", text)
    text = re.sub(r"(?<!\S)-+(?!\S)|-{2,}", " — ", text)
    text = re.sub(r"[/_\\-]", " ", text).translate(MARKS)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])(?<!\bMc)(?<!\bMac)(?<!\bDe)(?<!\bph)(?!D\b|Ds\b)", " ", text)
    text = re.sub(rf"[^A-Za-z' {re.escape(STRENGTH)}]", " ", text)
    text = re.sub(r"(?<![A-Za-z])'+(?!(?:tis|twas|cause|em|til|bout|n)\b)|(?<![A-Za-z]s)'(?![A-Za-z])|'(?=')", "", text)
    words = re.sub(r"[A-Za-z']+", lambda m: capitals(m[0], lexicon().knows) if len(m[0]) > 1 else m[0], text)
    words = re.sub(rf"\s*[{re.escape(STRENGTH)}][\s{re.escape(STRENGTH)}]*", _strongest, words)
    words = re.sub(r"\s+", " ", words).strip().lstrip(",.- ")
    return initials(re.sub(r"(?<![A-Za-z'])[A-Za-z](?![A-Za-z]|'[A-Za-z]{2})", _single, words)).strip()


def plain(text: str) -> str:
    """Replace letters and signs by their ASCII counterparts; ², ³, °, currencies and … stay."""
    text = re.sub(r"(?<=[0-9A-Za-z)])\^[({]?([-−]?)(\d{1,3})[)}]?", _power, text)
    text = re.sub("(?<=[0-9A-Za-z)])(⁻?)([⁰¹²³⁴-⁹]{2,}|[⁰¹⁴-⁹]|(?<=⁻)[²³])", _power, text)
    text = re.sub("(?<=\\d)(?=[½⅓⅔¼¾⅛⅜⅝⅞])", " ", text)
    text = re.sub("[½⅓⅔¼¾⅛⅜⅝⅞]", lambda m: FRACTIONS[m[0]], text)
    text = re.sub("[ßæÆøØœłŁđþ]", lambda m: LETTERS[m[0]], text.translate(QUOTES))
    text = unicodedata.normalize("NFKC", text.translate(str.maketrans("²³…\u2011", "\ue002\ue003\ue004-")))
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return text.translate(str.maketrans("\ue002\ue003\ue004", "²³…"))


def _power(m: re.Match[str]) -> str:
    """Power of a number or letter: 10⁵ is ten to the fifth."""
    exponent = unicodedata.normalize("NFKC", m[2])
    return f" to the minus {exponent} " if m[1] else f" to the {ordinal(exponent)} "


def _greek(m: re.Match[str]) -> str:
    return "".join(f" {GREEK.get(letter.lower(), '')} " for letter in m[0])


def _calmed(text: str) -> str:
    """Lower the case of a text of three words or more in capitals alone: they are loud, not spelt."""
    return text.lower() if len(re.findall("[A-Z]{2,}", text)) > 2 and not re.search("[a-z]", text) else text


def _strongest(m: re.Match[str]) -> str:
    mark = min((c for c in m[0] if c in STRENGTH), key=STRENGTH.index)
    return f" {mark} " if mark == "-" else f"{mark} "


def _single(m: re.Match[str]) -> str:
    """A single letter as a capital, its name; but `a`, or `A` at the start of a clause, is the article."""
    before, behind = m.string[: m.start()].rstrip(), m.string[m.end() :].lstrip()
    if m[0] == "a":
        return "a"
    if m[0] == "A":
        spelt = re.search(r"(?<![A-Za-z'])[A-Z]$", before) or re.match(
            r"[B-HJ-Z](?![A-Za-z])|I(?![A-Za-z'])(?!\s[a-z])", behind
        )
        opens = not before or before[-1] in STRENGTH
        return "a" if opens and not spelt and re.match("[A-Za-z]", behind) else "A"
    return m[0].upper()
