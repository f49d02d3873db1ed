"""Normal form of Chinese text: characters, Latin words and the marks of the symbol table, as read aloud.

Full width to half width (Unicode NFKC), numbers and signs to words (`quantities`), punctuation to `! , - . ? …`
(the table of GPT-SoVITS v2), Greek letters to their names, traditional characters to simplified ones (`simplified`),
everything else dropped.
"""

import re
import unicodedata
from re import Match

from voicemill.model.text.chinese.quantities import spell_out
from voicemill.model.text.chinese.simplified import simplified
from voicemill.model.text.chinese.units import RANGE

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

ROMAN = ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二")
"""Roman numerals of one character each, from 1."""

BEFORE_NFKC = str.maketrans(
    {chr(0x2160 + at): numeral for at, numeral in enumerate(ROMAN)}
    | {chr(0x2170 + at): numeral for at, numeral in enumerate(ROMAN)}
    | {
        "，": "、",
        "…": "⋯",
        "〇": "零",
        "℃": "°C",
        "℉": "°F",
        "²": SQUARE,
        "³": CUBE,
        "’": "'",
        "∶": ":",
        "∞": "无穷大",
    }
)
UPPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789负")
GREEK = {
    "α": "阿尔法", "β": "贝塔", "γ": "伽马", "δ": "德尔塔", "ε": "艾普西龙", "ζ": "泽塔", "η": "伊塔", "θ": "西塔",
    "ι": "约塔", "κ": "卡帕", "λ": "兰姆达", "μ": "缪", "ν": "纽", "ξ": "克西", "ο": "奥密克戎", "π": "派", "ρ": "柔",
    "σ": "西格玛", "ς": "西格玛", "τ": "陶", "υ": "宇普西龙", "φ": "斐", "χ": "希", "ψ": "普西", "ω": "欧米伽",
}  # fmt: skip
"""Names of Greek letters, which are read where they stand alone or in pairs."""
KNOWN = r"\w\s.,:/⁄~+\-−–—×÷*=<>≥≤≈±≠%‰°′″'\"$¥€£₩₹₽฿₫₱()⋯、;!?√·•‧・" + JOINT + SQUARE + CUBE
"""Marks that may join two numbers; any other one parts them."""


def normalise(text: str, simplify: bool = True) -> str:
    """Normal form of any text: Chinese characters, Latin words (letters, ' and -, single spaces) and `!,-.?…`.

    Idempotent. A text with nothing to read aloud gives "". `simplify`: whether traditional characters become simplified
    ones; the readings of this room need it, those of Cantonese do not.
    """
    text = _apart(text)
    text = simplified(text) if simplify else text
    text = re.sub(rf"(?<=[ms])[{SQUARE}{CUBE}]", lambda m: "2" if m[0] == SQUARE else "3", text)
    text = RANGE.sub(r"\1到", text)
    text = re.sub(r"(?<=[A-Za-zα-ωΑ-Ω])-(?=[0-9])|(?<=[0-9])-(?=[A-Za-z])|(?<=[α-ωΑ-Ω])-(?=[一-鿿])", "", text)
    text = spell_out(text.replace(SQUARE, "²").replace(CUBE, "³"))
    text = re.sub("(?<![α-ωΑ-Ω])[α-ωΑ-Ω]{1,2}(?![α-ωΑ-Ω])", _greek, text)
    text = re.sub(r"\.{2,}|⋯+|…+", "…", text).translate(str.maketrans(MARKS))
    text = re.sub(r"(?<=[A-Za-z])-(?=[A-Za-z])", JOINT, text)
    text = re.sub(rf"[^{HAN}A-Za-z' {JOINT}{MARK}]", "", text)
    text = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", "", text)
    text = re.sub(rf" *[{MARK}][ {MARK}]*", _strongest, text)
    text = re.sub(r" +", " ", text)
    text = re.sub(rf"(?<![A-Za-z{MARK}]) | (?![A-Za-z])", "", text)
    return text.lstrip(",.- ").replace(JOINT, "-")


def _apart(text: str) -> str:
    """The text in half width (NFKC), where numbers that it would join stay apart: 1½, 10⁵, 5★3."""
    text = re.sub("(?<=[0-9])(?=[¼-¾⅐-⅞])", "又", text)
    text = re.sub(
        "(?<=[0-9A-Za-z)])(?:⁻[⁰¹²³⁴-⁹]+|[⁰¹²³⁴-⁹]{2,}|[⁰¹⁴-⁹])", lambda m: f"的{m[0].translate(UPPER)}次方", text
    )
    text = unicodedata.normalize("NFKC", text.translate(BEFORE_NFKC))
    return re.sub(rf"(?<=[0-9])(?:[^{KNOWN}]+|_+)(?=[0-9])", "、", text)


def _greek(m: Match[str]) -> str:
    return "".join(GREEK.get(letter.lower(), "") for letter in m[0])


def _strongest(m: Match[str]) -> str:
    """The strongest of several marks in a row, followed by a space only between Latin words."""
    mark = min(m[0].replace(" ", ""), key=STRENGTH.index)
    around = m.string[max(0, m.start() - 1) : m.start()], m.string[m.end() : m.end() + 1]
    return mark + (" " if all(c.isascii() and c.isalpha() for c in around) else "")
