"""Quantities as English words: dates, times, money, telephone numbers, units, ranges, plain numbers.

Each rule is a pattern and a function that words its match. The rules apply in the order of `RULES`, the longer and
surer first, since a rule only sees the digits that the rules before it left. Dates with slashes are month before day.
"""

import re
from collections.abc import Callable

from voicemill.model.text.english.numbers import cardinal, decimal, digits, entries, fraction, ordinal, plural, year
from voicemill.model.text.english.units import AMBIGUOUS, PART, PARTS, UNIT, UNITS, many

Match = re.Match[str]

MONTHS = entries(
    "january february march april may june july august september october november december"
)  # fmt: skip
MONTH_OF = {name[:3]: name for name in MONTHS} | {name: name for name in MONTHS} | {"sept": "september"}
MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|(?-i:Mar(?:ch)?|May)|apr(?:il)?|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
"""A month in any case, except those that are also verbs."""
YEAR = r"(?P<year>1[1-9]\d\d|20\d\d)"
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"

SCALE = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
         "tn": "trillion"}  # fmt: skip
CURRENCY = {
    "$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"), "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"), "₩": ("won", "won", "jeon", "jeon"),
}  # fmt: skip

AMOUNT = r"(?P<amount>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
THING = (
    r"\s(?:bill|note|bonus|deal|fee|fine|prize|tip|ticket|check|gift|loan|grant|investment|budget|reward|discount|coupon|"
    r"voucher|deposit|donation|project|contract|raise|increase|cut|meal|item|bet|price|company|industry|business|coin)\b"
)
"""Nouns that a sum of money stands before, in which its currency has no plural: `a five dollar voucher`."""
SPOKEN_LINE = r"(?:911|999|112|988|411|311|211|511|000|111|101)"
"""Numbers of emergency and other lines, read digit by digit."""
CALLED = r"(?:calls?|called|calling|dial(?:s|ed|ling|led|ing)?|ring|rang|phoned?|text(?:ed)?)"

NO_YEAR = (
    r"(?!\s+(?!was\b|is\b|has\b|as\b|does\b|us\b|this\b|perhaps\b)[a-z]+s\b|\s+(?:people|men|women|children|square)\b)"
)
"""A bare number of four digits is no year before a plural: 1250 pages."""


def _date(m: Match) -> str:
    fields = m.groupdict()
    name = fields["month"].lower()
    month = MONTH_OF.get(name) or MONTHS[int(name) - 1]
    day, which, clock = ordinal(fields["day"]), fields.get("year"), fields.get("clock")
    return f"{month} {day}" + (f", {year(which)}" if which else "") + (f", {clock}" if clock else "")


def _month(m: Match) -> str:
    """A month and its year (2024-03), unless it may be two years in a row (2010-11)."""
    if int(m["month"]) == (int(m["year"]) + 1) % 100:
        return m[0]
    return f"{MONTHS[int(m['month']) - 1]} {year(m['year'])}"


def _day_first(m: Match) -> str:
    words = f"{ordinal(m['day'])} of {MONTH_OF[m['month'].lower()]}"
    words = words if m["the"] else "the " + words
    stop = "." if m[0].endswith(".") and not m.string[m.end() :].strip() else ""
    return (m["the"] or "") + words + (f", {year(m['year'])}" if m["year"] else "") + stop


def _time(m: Match) -> str:
    hour, minute, half = cardinal(m["hour"]), m["minute"], m["half"]
    tail = f" {half[0].upper()} M" if half else ""
    if not minute or int(minute) == 0:
        return hour + (tail or (" o'clock" if 1 <= int(m["hour"]) <= 12 else " hundred hours"))
    return hour + " " + (digits(minute, "oh") if minute[0] == "0" else cardinal(minute)) + tail


def _duration(m: Match) -> str:
    """Hours, minutes and seconds: 2:05:40 is two oh five forty."""
    return " ".join([cardinal(m["hour"]), *(_pair(m[part]) for part in ("minute", "second"))])


def _pair(pair: str) -> str:
    """Two digits as they are said in times and numbers of rooms: 05 is oh five, 15 is fifteen."""
    return digits(pair, "oh") if pair[0] == "0" else cardinal(pair)


def _room(m: Match) -> str:
    return m["before"] + cardinal(m["floor"]) + " " + ("hundred" if m["rest"] == "00" else _pair(m["rest"]))


def _money(m: Match) -> str:
    one, several, cent, cents = CURRENCY[m["sign"]]
    if re.search(r"\b(?:a|an|the|this|one|another)\s$", m.string[: m.start()]) and re.match(THING, m.string[m.end() :]):
        several = one  # a twenty dollar bill
    amount, scale = m["amount"].replace(",", ""), m["scale"]
    minus = "minus " if m["minus"] else ""
    if scale:
        return f"{minus}{decimal(amount)} {SCALE.get(scale.lower(), scale)} {several}"
    whole, _, small = amount.partition(".")
    if small and len(small) != 2:
        return f"{minus}{decimal(amount)} {several}"
    parts = [f"{cardinal(whole)} {one if int(whole) == 1 else several}"] if int(whole) or not int(small or 0) else []
    if small and int(small):
        parts.append(f"{cardinal(small)} {cent if int(small) == 1 else cents}")
    return minus + " and ".join(parts)


def _telephone(m: Match) -> str:
    groups = re.findall(r"\d+", m[0])
    groups = [group for group in groups if group != "0" or "(0)" not in m[0]]  # +44 (0)20: not dialled from abroad
    plus = "plus " if m[0].lstrip().startswith("+") else ""
    words = ["eight hundred" if group == "800" else digits(group, "oh") for group in groups]
    return plus + ", ".join(words)


def _line(m: Match) -> str:
    return m["before"] + digits(m["line"])


def _international(m: Match) -> str:
    return _telephone(m) if len(re.findall(r"\d", m[0])) > 7 else m[0]


def _spelt_telephone(m: Match) -> str:
    return m["before"] + digits(m["line"], "oh")


def _rate(m: Match) -> str:
    unit = PARTS[m["unit"]]
    return f"{m['number']} {unit if m['number'] in ('1', '-1') else many(unit)} per {PARTS[m['per']]}"


def _season(m: Match) -> str:
    """A season or school year of two years: 2023/24."""
    second = m["second"]
    if len(second) == 4:
        return f"{year(m['year'])} {year(second)}"
    return f"{year(m['year'])} {digits(second, 'oh') if second[0] == '0' else cardinal(second)}"


def _shares(m: Match) -> str:
    """Two shares of a hundred, or a measure of eyesight or of points: 50/50, 20/20, 10/10."""
    top, bottom = m["top"], m["bottom"]
    if top == bottom and int(top) <= 10:
        return f"{cardinal(top)} out of {cardinal(bottom)}"
    if int(top) + int(bottom) == 100 or (top == bottom == "20"):
        return f"{cardinal(top)} {cardinal(bottom)}"
    return m[0]


def _unit(m: Match) -> str:
    unit = UNITS[m["unit"]]
    return f"{m['number']} {unit if m['number'] in ('1', '-1') else many(unit)}"


def _scaled(m: Match) -> str:
    return f"{decimal(m['number'])} {SCALE[m['scale'].lower()]}"


def _mixed(m: Match) -> str:
    part = fraction(m["top"], m["bottom"])
    return f"{cardinal(m['whole'])} and {part.replace('one ', 'a ', 1) if m['top'] == '1' else part}"


def _decade(m: Match) -> str:
    century, tens = m["century"] or "", m["tens"]
    if tens == "00":
        return plural(year(century + tens))
    return (cardinal(century) + " " if century else "") + plural(cardinal(tens))


def _range(m: Match) -> str:
    return " to ".join(year(n) if re.fullmatch(YEAR, n) else decimal(n) for n in (m["low"], m["high"]))


def _bare(m: Match) -> str:
    number = m[0]
    return digits(number) if re.fullmatch(r"0\d+", number) else decimal(number)


RULES: tuple[tuple[str, Callable[[Match], str]], ...] = (
    (r"(?<![\w./-])(?P<year>[12]\d{3})(?P<sign>[-/.])(?P<month>0?[1-9]|1[0-2])(?P=sign)(?P<day>0?[1-9]|[12]\d|3[01])"
     r"(?:T(?P<clock>\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w/-]|\.\d)", _date),
    (rf"(?<![\w./-]){YEAR}[/-](?P<second>\d\d|\d{{4}})(?=\s(?:season|campaign|school|academic|fiscal|financial|term)\b)",
     _season),
    (rf"(?<![\w./-]){YEAR}/(?P<second>\d\d)(?![\w/])",
     lambda m: _season(m) if int(m["second"]) == (int(m["year"]) + 1) % 100 else m[0]),
    (r"(?<![\w/.-])(?P<month>0?[1-9]|1[0-2])(?P<sign>[/-])(?P<day>0?[1-9]|[12]\d|3[01])(?P=sign)(?P<year>[12]\d{3})(?![\w/-])",
     _date),
    (rf"(?<![\w./-]){YEAR}-(?P<month>0[1-9]|1[0-2])(?![\w/-])",
     _month),
    (rf"(?i)\b{MONTH}\s+(?P<day>\d\d?)(?:st|nd|rd|th)?(?:,?\s+{YEAR}(?!\d))?(?![\d:%]|[.,]\d)", _date),
    (rf"(?i)\b(?P<the>the\s+)?(?P<day>\d\d?)(?:st|nd|rd|th)?\s+(?:of\s+)?{MONTH}(?:,?\s+{YEAR}(?!\d))?(?!\w)",
     _day_first),
    (r"(?<![\w.:])12:00(?=\s(?:noon|midnight)\b)", lambda m: "twelve"),
    (r"(?<![\w.:])(?P<hour>\d{1,2}):(?P<minute>[0-5]\d):(?P<second>[0-5]\d)(?![\d:])", _duration),
    (r"(?<![\w.:])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?:\s?(?P<half>[aApP])\.?\s?[mM]\b)?(?![\d:])", _time),
    (r"(?<![\w.:])(?P<hour>1?\d)(?P<minute>)\s?(?P<half>[aApP])\.?\s?[mM]\b", _time),
    (rf"(?P<minus>(?<!\w)[-−])?(?<![\w.,$£€¥₹₩]){AMOUNT}(?:\s?(?P<scale>[kKmMbB]|thousand|million|billion|trillion))?"
     r"\s?(?:US|HK|A|C)?(?P<sign>[$£€¥₹₩])(?!\s?\d)", _money),
    (r"(?P<minus>[-−])?(?:US|A|C)?(?P<sign>[$£€¥₹₩])\s?(?P<amount>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
     r"(?:\s?(?P<scale>bn|mn|tn|[kKmMbBtT]|thousand|million|billion|trillion)\b)?", _money),
    (r"(?P<amount>\d+)\s?¢", lambda m: f"{cardinal(m['amount'])} cent{'' if int(m['amount']) == 1 else 's'}"),
    (r"(?<![\w.])(?:\+|(?<!\d )00)[1-9]\d{0,2}(?:\s?\(0\)\s?\d{1,5})?(?:[ -]\(?\d{1,8}\)?){1,6}(?![\w-])",
     _international),
    (r"(?i)\b(?P<before>(?:(?:zip|pin)(?: code)?|postal code|ssn|passcode|password)(?:\sis|:)?\s)"
     r"(?P<line>\d{3,}(?:-\d+)*)\b",
     lambda m: m["before"] + ", ".join(digits(group) for group in m["line"].split("-"))),
    (r"(?<![\w.,])(?!\d+0000)1[3-9]\d{9}(?![\w,]|\.\d)", _telephone),
    (r"(?<![\w.])(?:1[ -])?(?:\(\d{3}\)\s?|\d{3}[ .-])?\d{3}[.-]\d{4}(?![\w-])", _telephone),
    (r"(?<![\w.])\(?0\d{1,4}\)?[ -]\d{3,4}[ -]?\d{3,4}(?![\w-])", _telephone),
    (r"(?<![\w.])\(?\d{3}\)?([ -])(?:\d{3}|\d{4})\1\d{4}(?![\w-])", _telephone),
    (r"(?i)\b(?P<before>(?:call|dial|text|phone|tel|telephone|fax|number is)[.:]?\s+)(?P<line>\d{7,12})\b",
     _spelt_telephone),
    (rf"(?i)\b(?P<before>{CALLED}\s+)(?P<line>{SPOKEN_LINE})\b(?!\s+(?:people|men|women|[a-z]+s\b)|[.,:/-]\d)", _line),
    (rf"(?i)(?<![\w.,])(?P<before>)(?P<line>{SPOKEN_LINE})"
     r"(?=\s+(?:calls?|operators?|dispatch(?:er|ers)?|emergency|hotline|number)\b)",
     _line),
    (r"\b(?:911|999|411)(?=[.!?,;]?\s*$|[.!?,;])", lambda m: digits(m[0])),
    (r"\b24/7\b", lambda m: "twenty four seven"),
    (r"\b9/11\b", lambda m: "nine eleven"),
    (r"(?<![\w.])(?P<whole>\d+)[ -](?P<top>\d{1,2})[/⁄](?P<bottom>[1-9]\d?)(?![\w/])", _mixed),
    (r"(?<![\w./])(?P<top>\d{1,2})/(?P<bottom>2|4|8|16)(?=\s+time\b)",
     lambda m: f"{cardinal(m['top'])} {cardinal(m['bottom'])}"),
    (r"(?<![\w./])(?P<top>\d{1,2})/(?P<bottom>\d{1,2})(?![\w/])", _shares),
    (r"(?<![\w./-])50-50(?![\w/-])", lambda m: "fifty fifty"),
    (r"(?<![\w./])(?P<top>\d{1,2})/(?P<bottom>[2-9]|[1-9]\d)(?:rd|th|nd)s?\b",
     lambda m: fraction(m["top"], m["bottom"])),
    (r"(?<![\w./])(?P<top>1\d\d|2[0-4]\d)/(?P<bottom>[4-9]\d|1[0-3]\d)(?![\w/])",
     lambda m: f"{cardinal(m['top'])} over {cardinal(m['bottom'])}"),
    (r"(?<![\w./])(?P<month>[1-9]|1[0-2])/(?P<day>1[1-57-9]|2\d|3[01])(?![\w/])", _date),
    (r"(?<![\w./])(?P<top>\d{1,2})[/⁄](?P<bottom>[2-9]|[1-9]\d)(?![\w/])", lambda m: fraction(m["top"], m["bottom"])),
    (rf"(?<![\w.])(?P<number>-?{NUMBER})\s?%", lambda m: f"{m['number']} percent"),
    (r"(?<![\w.])(?P<feet>\d)'\s?(?P<inches>\d\d?)(?:\"|'')", lambda m: f"{m['feet']} feet {m['inches']} inches"),
    (r"(?<![\w'])'?(?P<century>1[1-9]|20)?(?P<tens>[2-9]0|(?<=1\d|20)(?:00|10))'?s\b", _decade),
    (rf"(?<![\w./])(?P<number>{NUMBER})/(?P<per>min|sec|hr|kg|mL|ml|L|dL)(?![\w/])",
     lambda m: f"{m['number']} per {PARTS[m['per']]}"),
    (r"\bper (?P<per>kg|lb|oz|km|cm|hr|GB|MB|min|yr|mi|ft|m²|ml|mL)(?![\w²³])", lambda m: f"per {PARTS[m['per']]}"),
    (rf"(?<![\w.])(?P<number>-?{NUMBER})\s?(?P<unit>{PART})/(?P<per>{PART})(?![\w/²³])", _rate),
    (rf"(?<![\w.])(?P<number>-?{NUMBER})\s?(?P<unit>(?!(?:{'|'.join(sorted(AMBIGUOUS))})\b){UNIT})(?![\w/²³])"
     r"(?:\.(?=\s+[a-z]|,))?", _unit),
    (rf"(?<![\w.])(?P<number>-?{NUMBER})(?P<unit>{UNIT})(?![\w/²³'])", _unit),
    (rf"(?<![\w.])(?P<number>-?{NUMBER})\s(?P<unit>[mghlLVW])(?![\w'.])", _unit),
    (rf"(?<![\w.])(?P<number>{NUMBER})\s?(?P<scale>bn|mn|tn)\b", _scaled),
    (r"(?P<number>\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b", lambda m: ordinal(m["number"].replace(",", ""))),
    (r"(?<![\w.-])\d+(?:-\d+){2,}(?![\w-])", lambda m: " ".join(cardinal(n) for n in m[0].split("-"))),
    (rf"(?<![\w.-])(?P<low>{NUMBER})\s?(?:-|–)\s?(?P<high>{NUMBER})(?![\w-])", _range),
    (r"(?<![\w.:])(?P<low>\d{1,3}):(?P<high>\d{1,3})(?![\w:])", _range),
    (r"(?i)\b(?P<before>(?:room|suite|apartment|route|highway)\s)(?P<floor>[1-9])(?P<rest>\d\d)\b(?![.,:-]\d)", _room),
    (r"(?<![\w.,-])(?P<year>1\d{3})(?=\s?(?:AD|BC|BCE|CE|A D|B C)\b)", lambda m: year(m["year"])),
    (rf"(?<![\w.,/+=$-]){YEAR}(?![\w%/]|[.,]\d){NO_YEAR}", lambda m: year(m["year"])),
    (rf"(?<![\w.,])[-−]{NUMBER}", lambda m: decimal(m[0])),
    (r"(?<![\w])\.\d+", lambda m: decimal(m[0])),
    (r"\d+(?:\.\d+){2,}", lambda m: " point ".join(cardinal(n) for n in m[0].split("."))),
    (NUMBER, _bare),
)  # fmt: skip
QUANTITY_RANGE = re.compile(
    r"([$£€]\d[\d,.]*[kKmMbB]?|\d[%$£€]|:\d\d(?:\s?[ap]m)?|\d\s?[ap]m)\s?[-–]\s?(?=[$£€]?\d)", re.I
)
"""The first of two amounts, shares or times with a dash between them: 7:30-9:00."""
PRICE_RANGE = re.compile(r"([$£€])(\d[\d,]*(?:\.\d+)?)\s?[-–]\s?(\d[\d,]*(?:\.\d+)?)(?![\d%$£€]|\s?[-–/]\s?\d)")
"""Two prices with one sign: $5-10."""
_COMPILED = tuple((re.compile(pattern), words) for pattern, words in RULES)


def spell_out(text: str) -> str:
    """Replace every number of `text`, with its date, currency or unit, by words between spaces; no digit remains."""
    text = PRICE_RANGE.sub(r"\2 to \1\3", text)
    text = QUANTITY_RANGE.sub(r"\1 to ", text)
    for pattern, words in _COMPILED:
        text = pattern.sub(lambda m, words=words: f" {words(m)} ", text)  # type: ignore[misc]
    return text
