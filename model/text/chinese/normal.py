"""Chinese text as it is read aloud: characters, Latin words and the marks of the symbol table, nothing else.

Full width to half width (Unicode NFKC), numbers and signs to words (`chinese_quantities`), punctuation to `! , - . ? …`
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
"""Marks that stand for one of the table. Quotes, book marks and the middle dot of names are not heard: dropped."""

STRENGTH = "?!.…,-"
"""Of several marks in a row the first of these is kept."""

MARK = re.escape(STRENGTH)
JOINT, SQUARE, CUBE = "\ue001", "\ue002", "\ue003"
"""Stand-ins from the private use area: a hyphen inside a Latin word; raised 2 and 3, which NFKC would lower."""

BEFORE_NFKC = str.maketrans({"，": "、", "…": "⋯", "〇": "零", "℃": "°C", "℉": "°F", "²": SQUARE, "³": CUBE, "’": "'"})


def normalise(text: str) -> str:
    """Any text -> Chinese characters, Latin words (letters and ' and -, single spaces between them) and `!,-.?…`.

    Idempotent: what it gives passes through it unchanged. Nothing to read aloud gives "".
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
    """One mark of several in a row; a space behind it only where Latin words stand on both sides."""
    mark = min(m[0].replace(" ", ""), key=STRENGTH.index)
    around = m.string[max(0, m.start() - 1) : m.start()], m.string[m.end() : m.end() + 1]
    return mark + (" " if all(c.isascii() and c.isalpha() for c in around) else "")
