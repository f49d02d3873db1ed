"""Normal form of Chinese text: characters, Latin words and the marks of the symbol table, as read aloud.

Full width to half width (Unicode NFKC), numbers and signs to words (`quantities`), punctuation to `! , - . ? …`
(the table of GPT-SoVITS v2), everything else dropped. Traditional characters stay.
"""

import re
import unicodedata
from re import Match

from voicemill.model.text.chinese.quantities import spell_out

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
MARKS: dict[str, str | int | None] = {
    **dict.fromkeys("、;:()[]{}【】〔〕〖〗/|\t", ","),
    **dict.fromkeys("。｡\n\r", "."),
    "—": "-", "–": "-", "―": "-", "─": "-", "~": "…", "〜": "…", "⋯": "…",
}  # fmt: skip
"""Marks -> marks of the table. Quotes, book marks and the middle dot of names are silent and dropped."""

STRENGTH = "?!.…,-"
"""Marks in order of strength: of several in a row the strongest is kept."""

MARK = re.escape(STRENGTH)
JOINT, SQUARE, CUBE = "\ue001", "\ue002", "\ue003"
"""Stand-ins from the private use area: a hyphen inside a Latin word; raised 2 and 3, which NFKC would lower."""

BEFORE_NFKC = str.maketrans({"，": "、", "…": "⋯", "〇": "零", "℃": "°C", "℉": "°F", "²": SQUARE, "³": CUBE, "’": "'"})


def normalise(text: str) -> str:
    """Normal form of any text: Chinese characters, Latin words (letters, ' and -, single spaces) and `!,-.?…`.

    Idempotent. A text with nothing to read aloud gives "".
    """
    text = unicodedata.normalize("NFKC", text.translate(BEFORE_NFKC))
    text = re.sub(rf"(?<=m)[{SQUARE}{CUBE}]", lambda m: "2" if m[0] == SQUARE else "3", text)
    text = re.sub(r"(?<=[A-Za-z])-(?=[0-9])|(?<=[0-9])-(?=[A-Za-z])", "", text)
    text = spell_out(text.replace(SQUARE, "²").replace(CUBE, "³"))
    text = re.sub(r"\.{2,}|⋯+|…+", "…", text).translate(str.maketrans(MARKS))
    text = re.sub(r"(?<=[A-Za-z])-(?=[A-Za-z])", JOINT, text)
    text = re.sub(rf"[^{HAN}A-Za-z' {JOINT}{MARK}]", "", text)
    text = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", "", text)
    text = re.sub(rf" *[{MARK}][ {MARK}]*", _strongest, text)
    text = re.sub(r" +", " ", text)
    text = re.sub(rf"(?<![A-Za-z{MARK}]) | (?![A-Za-z])", "", text)
    return text.lstrip(",.- ").replace(JOINT, "-")


def _strongest(m: Match[str]) -> str:
    """The strongest of several marks in a row, followed by a space only between Latin words."""
    mark = min(m[0].replace(" ", ""), key=STRENGTH.index)
    around = m.string[max(0, m.start() - 1) : m.start()], m.string[m.end() : m.end() + 1]
    return mark + (" " if all(c.isascii() and c.isalpha() for c in around) else "")
