"""Numbers as English words, the American way: no "and", hyphens as spaces, years in pairs."""

import re


def entries(text: str) -> tuple[str, ...]:
    """Entries of a table written on one line, separated by spaces."""
    return tuple(text.split())


ONES = entries(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = entries("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
SCALES = ("", " thousand", " million", " billion", " trillion", " quadrillion")
LONGEST = 3 * len(SCALES)
"""Digits of the largest named number; longer ones are read digit by digit."""

IRREGULAR = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
ROMAN = {"M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90, "L": 50, "XL": 40, "X": 10, "IX": 9, "V": 5,
         "IV": 4, "I": 1}  # fmt: skip


def cardinal(number: str) -> str:
    """Cardinal number of ASCII digits: "1234" -> "one thousand two hundred thirty four"; over 18 digits, one by one."""
    whole = number.lstrip("0") or "0"
    if len(whole) > LONGEST:
        return digits(whole)
    if whole == "0":
        return ONES[0]
    groups = [int(whole[max(0, end - 3) : end]) for end in range(len(whole), 0, -3)]
    return " ".join(
        _group(group) + SCALES[rank] for rank, group in reversed(list(enumerate(groups))) if group
    )  # fmt: skip


def _group(number: int) -> str:
    """Words of 1..999."""
    words = [ONES[number // 100] + " hundred"] if number >= 100 else []
    rest = number % 100
    if rest >= 20:
        words.append(TENS[rest // 10])
        rest %= 10
    if rest:
        words.append(ONES[rest])
    return " ".join(words)


def ordinal(number: str) -> str:
    """Ordinal number of ASCII digits: "21" -> "twenty first"."""
    *front, last = cardinal(number).split(" ")
    regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*front, IRREGULAR.get(last, regular)])


def digits(number: str, zero: str = "zero") -> str:
    """Words of ASCII digits one by one; `zero`: "oh" in telephone numbers."""
    return " ".join(zero if d == "0" else ONES[int(d)] for d in number)


def decimal(text: str) -> str:
    """Words of a decimal with separators and sign: "-1,200.50" -> "minus one thousand ... point five zero"."""
    sign, plain = ("minus ", text[1:]) if text[:1] in ("-", "−") else ("", text)
    whole, point, fraction = plain.replace(",", "").partition(".")
    return sign + cardinal(whole or "0") + (" point " + digits(fraction) if point and fraction else "")


def year(number: str) -> str:
    """Words of a year of four ASCII digits: "1984" -> "nineteen eighty four", "1905" -> "nineteen oh five"."""
    century, rest = number[:2], number[2:]
    if number[1:3] == "00":
        return cardinal(number)
    if rest == "00":
        return cardinal(century) + " hundred"
    return f"{cardinal(century)} {'oh ' + ONES[int(rest)] if rest[0] == '0' else cardinal(rest)}"


def plural(words: str) -> str:
    """Words with the last one in the plural: "nineteen ninety" -> "nineteen nineties", "six" -> "sixes"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "s", "ch", "sh")) else "s")


def fraction(numerator: str, denominator: str) -> str:
    """Words of a fraction: "1", "2" -> "one half"; "3", "4" -> "three quarters"; "5", "8" -> "five eighths"."""
    one = int(numerator) == 1
    if int(denominator) == 2:
        name = "half" if one else "halves"
    elif int(denominator) == 4:
        name = "quarter" if one else "quarters"
    else:
        name = ordinal(denominator) if one else plural(ordinal(denominator))
    return f"{cardinal(numerator)} {name}"


def roman(numeral: str) -> str | None:
    """Digits of a well-formed Roman numeral up to 3999; None for other letters: "XIV" -> "14", "MIX" -> "1009"."""
    if not re.fullmatch(r"(?=.)M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})", numeral):
        return None
    return str(sum(ROMAN[part] for part in re.findall("CM|CD|XC|XL|IX|IV|[MDCLXVI]", numeral)))
