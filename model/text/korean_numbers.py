"""Numbers as Korean words: Sino-Korean (3 년 = 삼 년), native before classifiers that take it (3 개 = 세 개)."""

import re

DIGITS = "영일이삼사오육칠팔구"
PLACES = ("", "십", "백", "천")
GROUPS = ("", "만", "억", "조", "경")
NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
NATIVE_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
CLASSIFIERS = "시간|시(?!속|대)|개(?!월|년)|명|살|마리|잔|병|권|대|장|번째|사람|가지|그루|송이|켤레|채|달|곳"
"""Classifiers that follow native numbers up to 99."""
UNITS = {
    "%": "퍼센트", "km": "킬로미터", "cm": "센티미터", "mm": "밀리미터", "m": "미터",
    "kg": "킬로그램", "g": "그램", "L": "리터", "℃": "도", "°C": "도",
}  # fmt: skip
SIGNS = {"₩": "원", "$": "달러", "€": "유로", "¥": "엔", "£": "파운드"}


def sino(number: str) -> str:
    """Sino-Korean words of ASCII digits: "12345" -> "만이천삼백사십오"; over 20 digits, one by one."""
    whole = number.lstrip("0") or "0"
    if whole == "0" or len(whole) > 4 * len(GROUPS):
        return digits(whole)
    words = ""
    for rank in range((len(whole) - 1) // 4, -1, -1):
        group = whole[max(0, len(whole) - 4 * rank - 4) : len(whole) - 4 * rank]
        read = "".join(
            ("" if digit == "1" and place else DIGITS[int(digit)]) + PLACES[place]
            for place, digit in zip(range(len(group) - 1, -1, -1), group, strict=True)
            if digit != "0"
        )
        words += (("" if read == "일" and rank == 1 and not words else read) + GROUPS[rank]) if read else ""
    return words


def digits(number: str) -> str:
    """ASCII digits one by one: "010" -> "영일영"."""
    return "".join(DIGITS[int(digit)] for digit in number)


def native(number: str) -> str:
    """Native words of 1..99 before a classifier: "21" -> "스물한", "20" -> "스무"."""
    value = int(number)
    return "스무" if value == 20 else NATIVE_TENS[value // 10] + NATIVE_ONES[value % 10]


def decimal(text: str) -> str:
    """Words of a signed decimal, thousands separators allowed: "-3.14" -> "마이너스 삼점일사"."""
    sign, plain = ("마이너스 ", text[1:]) if text[:1] == "-" else ("", text)
    whole, point, fraction = plain.replace(",", "").partition(".")
    return sign + sino(whole or "0") + ("점" + digits(fraction) if point and fraction else "")


def spell_out(text: str) -> str:
    """Replace every number of `text`, with currency and unit, by Korean words; no ASCII digit remains."""
    number = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
    text = re.sub(rf"([₩$€¥£])\s?({number})", lambda m: decimal(m[2]) + SIGNS[m[1]], text)
    text = re.sub(r"\b0\d{1,2}-\d{3,4}-\d{4}\b", lambda m: " ".join(map(_telephone, m[0].split("-"))), text)
    units = "|".join(map(re.escape, UNITS))
    text = re.sub(rf"(-?{number})\s?({units})(?![A-Za-z])", lambda m: decimal(m[1]) + " " + UNITS[m[2]], text)
    text = re.sub(r"(?<!\d)(10|6)(?=월)", lambda m: "시" if m[1] == "10" else "유", text)  # irregular: 시월, 유월
    text = re.sub(rf"(?<![\d.,-])([1-9]\d?)(?=\s?(?:{CLASSIFIERS}))", lambda m: native(m[1]), text)
    return re.sub(rf"(?<!\d)-?{number}", lambda m: decimal(m[0]), text)


def _telephone(group: str) -> str:
    return digits(group).replace("영", "공")
