"""Numbers as Chinese words.

Places in groups of four (千 百 十, then 万, 亿, 万亿), one 零 for any run of empty places, 十 without 一 at the front
of a number. 二 stays 二 inside a number; at the front it is 两 before 千, 万 and 亿, and where a classifier follows
(`before_classifier`). This is the reading of GB/T 15835 and of the Modern Chinese Dictionary.
"""

DIGITS = "零一二三四五六七八九"
PLACES = ("", "十", "百", "千")
GROUPS = ("", "万", "亿", "万亿", "亿亿")
LONGEST = 16
"""Digits of the largest number with a common name; longer ones are read digit by digit."""


def digits(number: str, one: str = "一") -> str:
    """Read ASCII digits one by one: "2024" -> "二零二四". `one`: "幺" in telephone numbers. Other characters stay."""
    return "".join(DIGITS[int(d)] if d in "0123456789" else d for d in number).replace("一", one)


def cardinal(number: str) -> str:
    """Words of ASCII digits as a number: "10086" -> "一万零八十六"; over 16, one by one without leading zeros."""
    whole = number.lstrip("0") or "0"
    if len(whole) > LONGEST:
        return digits(whole)
    if whole == "0":
        return "零"
    groups = [whole[max(0, end - 4) : end] for end in range(len(whole), 0, -4)]
    words, gap = "", False
    for rank in range(len(groups) - 1, -1, -1):
        group = groups[rank].zfill(4)
        if group == "0000":
            gap = bool(words)
            continue
        # 10,0500: the empty place in front of 500 is read; 零 once, however many places are empty
        words += "零" if words and (gap or group[0] == "0") else ""
        words += _group(group, first=not words) + GROUPS[rank]
        gap = False
    for large in ("千", "万", "亿"):
        if words.startswith("二" + large):
            words = "两" + words[1:]
    return words


def _group(group: str, first: bool) -> str:
    """Words of four digits, not all zero; `first`: nothing precedes them, so 10 is 十 and not 一十."""
    words, gap = "", False
    for place, digit in zip(reversed(PLACES), group, strict=True):
        if digit == "0":
            gap = bool(words)
            continue
        words += "零" if gap else ""
        words += DIGITS[int(digit)] + place
        gap = False
    return words[1:] if first and words.startswith("一十") else words


def number(text: str) -> str:
    """Words of a signed decimal, thousands separators allowed: "-1,234.50" -> "负一千二百三十四点五零"."""
    sign, plain = ("负", text[1:]) if text[:1] in "-−" else ("", text.lstrip("+"))
    whole, point, fraction = plain.replace(",", "").partition(".")
    return sign + cardinal(whole or "0") + ("点" + digits(fraction) if point and fraction else "")


def before_classifier(text: str) -> str:
    """Words of a number before a classifier: 2 is 两 there, 12 stays 十二."""
    return "两" if text in ("2", "2.0", "2.00") else number(text)
