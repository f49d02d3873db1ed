"""Abbreviations, acronyms, addresses and signs of English as words.

Letters that are named one by one become single capitals with spaces between: "FBI" -> "F B I". Whether capitals
are a word (NASA) or letters (FBI) is decided by length, a short list, and for four letters or more by CMUdict; a text
in capitals alone is read as words.
"""

import re
from collections.abc import Callable

from voicemill.model.text.english.numbers import cardinal, entries, ordinal, roman

TITLES = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "messrs": "messieurs", "prof": "professor", "gov": "governor",
    "sen": "senator", "rep": "representative", "gen": "general", "col": "colonel", "capt": "captain",
    "cmdr": "commander", "lt": "lieutenant", "sgt": "sergeant", "cpl": "corporal", "maj": "major", "rev": "reverend",
    "hon": "honorable", "pres": "president", "supt": "superintendent", "mt": "mount", "ft": "fort", "fr": "father",
}  # fmt: skip
"""Titles, read only before a capital; their dot never ends a sentence."""

SHORT = {
    "jr": "junior", "sr": "senior", "esq": "esquire", "vs": "versus", "etc": "et cetera", "inc": "incorporated",
    "corp": "corporation", "co": "company", "ltd": "limited", "bros": "brothers", "ave": "avenue",
    "blvd": "boulevard", "rd": "road", "hwy": "highway", "rte": "route", "apt": "apartment", "dept": "department",
    "univ": "university", "assn": "association", "govt": "government", "intl": "international",
    "approx": "approximately",
    "est": "established", "misc": "miscellaneous", "incl": "including", "vol": "volume", "fig": "figure",
    "ext": "extension", "tel": "telephone", "max": "maximum", "min": "minimum", "avg": "average", "ca": "circa",
    "eq": "equation", "ed": "edition", "al": "al", "sec": "section", "mon": "monday", "tue": "tuesday",
    "tues": "tuesday", "wed": "wednesday", "thu": "thursday", "thur": "thursday", "thurs": "thursday",
    "fri": "friday", "jan": "january", "feb": "february", "mar": "march", "apr": "april", "jun": "june",
    "jul": "july", "aug": "august", "sept": "september", "sep": "september", "oct": "october", "nov": "november",
    "dec": "december",
}  # fmt: skip
"""Words shortened with a dot; the dot stays where it also ends the sentence."""

FINAL = frozenset(entries("jr sr esq etc inc corp co ltd bros ave blvd rd hwy dept"))
"""Words of `SHORT` that end a sentence where a capital follows; the others do only where the text ends."""

CAPITAL_ONLY = frozenset(entries("co mon wed mar sec min max al ed est fig apt ext rd"))
"""Words of `SHORT` that are also words or names at the end of a sentence."""

_DAYS = tuple(
    (rf"\b{short}(?:\.,?|,)(?=\s+(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|\d))", f"{day},")
    for short, day in (
        ("Mon", "monday"), ("Tues?", "tuesday"), ("Wed", "wednesday"), ("Thu(?:rs?)?", "thursday"), ("Fri", "friday"),
        ("Sat", "saturday"), ("Sun", "sunday"),
    )
)  # fmt: skip
"""Days of the week in front of a date."""

DOTTED = (
    (r"\be\.\s?g\.,?", "for example"), (r"\bi\.\s?e\.,?", "that is"), (r"\bPh\.\s?D\b\.?", "P H D"),
    (r"\b(?:[Nn]os?|NO)\.\s?(?=\d)", "number "), (r"\bpp\.\s?(?=\d)", "pages "), (r"\bp\.\s?(?=\d)", "page "),
    (r"\bch\.\s?(?=\d)", "chapter "), *_DAYS,
    (r"\bw/o\b", "without"), (r"\bw/(?=\s)", "with"), (r"(?i)\bwi-fi\b", "wifi"),
)  # fmt: skip

SAID = {
    "PhD": "P H D", "OK": "okay", "JPEG": "jay peg", "JPG": "jay peg", "CD-ROM": "C D rom", "IEEE": "I triple E",
    "SQL": "sequel", "GIF": "gif", "RAM": "ram", "ROM": "rom", "PIN": "pin", "SIM": "sim", "LAN": "lan", "ZIP": "zip",
    "DOS": "doss", "AIDS": "aids", "SARS": "sars", "ASAP": "A S A P", "LED": "L E D", "RIP": "R I P", "MIT": "M I T",
    "HIV": "H I V", "ASCII": "askey", "C++": "C plus plus", "C#": "C sharp", "F#": "F sharp", "TCP/IP": "T C P I P",
    "AC/DC": "A C D C", "I/O": "I O", "Q&A": "Q and A", "R&D": "R and D", "AT&T": "A T and T",
}  # fmt: skip
"""Readings that no rule gives."""

EMPHASIS = frozenset(
    entries(
        "NOT ALL YOU AND THE BUT FOR ARE WAS HAS HAD HAVE CAN NOW WHO WHY HOW NEW ONE TWO YES NO SO MY ME HE WE DO GO "
        "IS BE ANY OUR OUT OFF GET GOT LET SAY BIG BAD TOO TO OF ON IN AT BY IF OR AS AN UP HIS HER ITS SHE DID DAY "
        "MAN MEN OLD SEE TRY USE WAY WAR BOY END FUN HOT OH OW HA HEY WOW MAY ACT AGE AIR BUY CAR EAT FAR FEW LOT LOW "
        "RED RUN SIT SUN TOP"
    )
)
"""Words of two or three letters that are emphasised, not spelt, in capitals."""

SIGNS = (
    (r"\s*&\s*", " and "), (r"\s*(?<=\w)@\s*", " at "), (r"(?<!\S)@(?=[A-Za-z_])", "at "),
    (r"(?<=\d)\s?[xX]\s?(?=\d)", " by "), (r"#\s?(?=\d)", "number "), (r"#(?=[A-Za-z])", "hashtag "),
    (r"(?<=\d)\s*\+\s*(?=\d)", " plus "), (r"(?<=\w)\s\+\s(?=\w)", " plus "), (r"(?<=\d)\+", " plus"),
    (r"\s*=\s*", " equals "), (r"(?<=\d)\s*[×*]\s*(?=\d)", " times "), (r"(?<=\d)\s*÷\s*(?=\d)", " divided by "),
    (r"(?<=\d)\s-\s(?=\d)", " minus "), (r"\s*<\s*", " less than "), (r"\s*>\s*", " greater than "),
    (r"~\s?(?=\d)", "about "), (r"[±]", " plus or minus "), (r"[©®™]", ""),
    (r"√\s?(?=[\dA-Za-z(])", " the square root of "), (r"∞", " infinity "), (r"(?<=\d)²", " squared"),
    (r"(?<=\d)³", " cubed"), (r"(?<![A-Za-z\d/])(?<!\d\s)([A-Za-z])²", r"\1 squared"),
    (r"(?<![A-Za-z\d/])(?<!\d\s)([A-Za-z])³", r"\1 cubed"),
    (r"([$£€]\d[\d.,]*[kKmMbB]?|\d[$£€])/(?=[a-z])", r"\1 per "),
    (r"(?<=\d)/(?=(?:day|week|month|year|hour|person|night)\b)", " per "),
)  # fmt: skip

REGNAL = (
    r"(?:Henry|Louis|Charles|George|Edward|James|William|Elizabeth|Mary|Philip|Richard|Napoleon|Pius|Paul|John|"
    r"Benedict|Gregory|Leo|Ivan|Peter|Nicholas|Alexander|Frederick|Ferdinand|Catherine|Clement|Innocent|Urban|"
    r"Constantine|Francis|Ramses|Ptolemy|Robert|Harald|Haakon|Gustav|Christian|Leopold|Albert|Victoria)"
)
"""Names after which a Roman numeral is an ordinal: Henry VIII, the eighth."""

COUNTED = (
    r"(?:[Cc]hapter|[Pp]art|[Vv]olume|[Aa]ct|[Ss]cene|[Ss]ection|[Aa]rticle|[Pp]hase|[Tt]ype|[Cc]lass|[Tt]itle|[Ss]tage|"
    r"[Ll]evel|[Bb]ook|[Gg]rade|[Ff]igure|[Tt]able|[Aa]ppendix|War|Bowl|Rocky|Fantasy|Apollo|Mark)"
)
"""Words after which a Roman numeral is a cardinal: World War II."""

ENDS = r"(?=\s*$|\s+[A-Z\"'“(])"
"""Pattern after an abbreviation whose dot also ends the sentence."""


def addresses(text: str) -> str:
    """Replace e-mail and web addresses: "a.b@mail.org" -> "a dot b at mail dot org"; the protocol is dropped."""
    text = re.sub(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+", lambda m: _address(m[0]), text)
    domain = r"(?:[A-Za-z0-9-]+\.)+(?:com|org|net|edu|gov|io|ai|uk|de|cn|jp|co|info|dev|app|me|tv)\b"
    path = r"(?:/[\w./?=&#%~-]*[\w/])?"
    return re.sub(rf"(?:https?://|ftp://)?\b{domain}{path}", lambda m: _address(m[0]), text)


def _address(address: str) -> str:
    names = {".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", "+": "plus", "?": "question mark",
             "=": "equals", "&": "and", "#": "hash", "%": "percent", "~": "tilde"}  # fmt: skip
    plain = re.sub(r"^[a-z]+://", "", address).rstrip("/")
    words = re.findall(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]", plain)
    return " ".join("W W W" if w.lower() == "www" else names.get(w, w) for w in words)


def abbreviations(text: str) -> str:
    """Replace titles, shortened words, initials, dotted letters and Roman numerals by words."""
    for form, words in SAID.items():
        if not form.isalpha():
            text = re.sub(rf"(?<![\w]){re.escape(form)}(?![\w+#])", words, text)
    for pattern, words in DOTTED:
        text = re.sub(pattern, words, text)
    text = re.sub(rf"\b({REGNAL})\s([IVX]{{1,5}})\b(?!['.]\s?[A-Z])", _regnal, text)
    text = re.sub(rf"\b({COUNTED})\s([IVXLC]{{1,7}})\b(?!')", _counted, text)
    text = _places(text, "St", "saint", "street")
    text = _places(text, "Dr", "doctor", "drive")
    text = re.sub(r"\b([A-Z][a-z]+)(?:\.(?=\s+[A-Z])|(?<=Mr|Ms)\.|(?<=Mrs)\.|(?=\s+[A-Z]))", _title, text)
    text = initials(text)
    text = re.sub(r"(?<![\w'])(?<![A-Z]\s)([A-Z])\.(?=\s+[A-Z][a-z])", r"\1", text)
    return re.sub(rf"\b([A-Za-z]+)\.({ENDS})?", _short, text)


def _regnal(m: re.Match[str]) -> str:
    number = roman(m[2])
    return f"{m[1]} the {ordinal(number)}" if number else m[0]


def _counted(m: re.Match[str]) -> str:
    number = roman(m[2]) if m[2] not in ("C", "L") else None  # type C
    return f"{m[1]} {cardinal(number)}" if number else m[0]


def _places(text: str, form: str, before: str, behind: str) -> str:
    """Read `form` by the side of the name: Saint Paul and Main Street, Doctor Smith and Elm Drive."""
    starts = entries("The He She It We They I You In On At A An But And Then This That There")
    text = re.sub(rf"(?<=[a-z\d]\s){form}\.(?=\s*$|\s+(?:{'|'.join(starts)})\b)", f"{behind}.", text)
    text = re.sub(rf"(\b[A-Z][a-z]+|\d(?:st|nd|rd|th))\s{form}\b\.?(?=\s+[a-z\d]|[,;:!?])", rf"\1 {behind}", text)
    return re.sub(rf"\b{form}\.?(?=\s+[A-Z])", before, text)


def _title(m: re.Match[str]) -> str:
    return TITLES.get(m[1].lower(), m[0]) if m[0].endswith(".") or m[1] in ("Mr", "Mrs", "Ms", "Prof") else m[0]


def initials(text: str) -> str:
    """Replace letters with dots by single letters: "U.S." -> "U S", "5 p.m." -> "5 P M"."""
    return re.sub(r"\b(?:[A-Z]\.\s?){2,}|\b[aApP]\.\s?[mM]\.", _initials, text)


def _initials(m: re.Match[str]) -> str:
    letters = " ".join(re.findall("[A-Za-z]", m[0])).upper()
    rest = m.string[m.end() :]
    if m[0][-1] == " ":  # J. K. Rowling: the run took the space in front of the name
        return letters + " "
    half = m[0][0].islower()  # a.m.: a capital behind it starts a sentence; behind U.S. it may be a name
    return letters + ("." if not rest.strip() or (half and re.match(r"\s+[A-Z][a-z]+\b(?!\.)", rest)) else "")


def _short(m: re.Match[str]) -> str:
    word = m[1].lower()
    if word not in SHORT or (word in CAPITAL_ONLY and (m[2] is not None or m[1].islower())):
        return m[0]
    ends = m[2] is not None and (word in FINAL or not m.string[m.end() :].strip())
    return SHORT[word] + ("." if ends else "")


def signs(text: str) -> str:
    """Replace signs between words and numbers by words: "2 + 2 = 4" -> "2 plus 2 equals 4", "R&D" -> "R and D"."""
    for pattern, words in SIGNS:
        text = re.sub(pattern, words, text)
    return text


def capitals(word: str, known: Callable[[str], bool]) -> str:
    """Words in lower case and letters in single capitals of one written word: "CEOs" -> "C E O's".

    `known`: whether the dictionary has a word in lower case.
    """
    if word in SAID:
        return SAID[word]
    match = re.fullmatch(r"([A-Z]{2,})('?s|'S)?", word)
    if word == "PhDs":
        match = re.fullmatch(r"(\w+)(s)", word)
    if not match:
        return word if re.fullmatch("[A-Z]'s", word) else word.lower()
    stem, tail = match[1], "'s" if match[2] else ""
    if stem in SAID and stem != "PhD":
        return SAID[stem] + tail
    if stem in EMPHASIS or _word(stem, known):
        return stem.lower() + (match[2] or "").lower()
    return " ".join(stem.upper()) + tail


def _word(stem: str, known: Callable[[str], bool]) -> bool:
    return len(stem) > 3 and bool(re.search("[AEIOUY]", stem)) and (known(stem.lower()) or sayable(stem))


def sayable(letters: str) -> bool:
    """Whether capitals look like a word: consonants and vowels alternate, at most two of either in a row."""
    return bool(re.fullmatch(r"[^AEIOU]?(?:[AEIOUY]{1,2}[^AEIOU]{1,2})+[AEIOUY]?", letters))
