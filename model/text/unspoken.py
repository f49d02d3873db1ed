"""Marks of a text that are never spoken in any language: annotations, invisible characters; and numbers in one sign.

Annotations of transcripts (`<noise>`, `[laughter]`, `<|endoftext|>`, `<i>`) go; other words and numbers in square
brackets stay, since an editor's word and an interval are read. Format characters (soft hyphen, zero-width space,
joiner, byte order mark, directions) go without a gap: they stand inside words. A number in a circle, in brackets or
with a dot as one character becomes digits that do not join those beside it: Unicode's NFKC would read ①② as 12.
"""

import re
import unicodedata

TAG = re.compile(
    r"[<＜](?:/?(?:[A-Za-z_][\w.:-]{1,30}|[bcipqsuvBIPSU])(?:\s[^<>＜＞\n]{0,60})?/?|[一-鿿]{1,2}|\|[^<>＜＞\n]{0,60}\|)[>＞]"
    r"|(?<![A-Za-z0-9_)\]])[\[［]\d{1,2}:\d\d(?:[:.]\d+)*[\]］]"
)
"""Annotations in angle brackets, and times in square ones."""
BRACKET = re.compile(r"[\[［]([^\[\]［］\n]{1,60})[\]］]")
SOUND = re.compile(
    r"\b(?:laugh|chuckl|giggl|nois|music|applau|clap|cough|breath|inhal|exhal|sigh|sniff|silen|inaudibl|unintelligibl|"
    r"indistinct|crosstalk|cheer|cry|crie|sob|gasp|throat|paus|beep|bleep|click|static|background|foreign|unk|sil\b|spn\b|nsn\b|"
    r"vocnoise|hesitation|lip.?smack|sneez|yawn|whisper|sing|sung|instrumental|blank.audio|speaker|phone|bell|door|footstep|"
    r"scream|shout|groan|grunt|hum|mumbl|snor|whistl|audience|um\b|uh\b|overlap|unclear|redacted|sound|rustl|knock|gunshot)"
    r"|笑|掌声|鼓掌|音乐|噪|杂音|咳|叹|哭|喘|呼吸|欢呼|静音|停顿|听不清|歌声|铃声|尖叫|掌聲|音樂|歡呼|嘆|聽不清",
    re.IGNORECASE,
)
"""Sounds that words in square brackets annotate; other words, as in `[that] works`, are read."""
CODE = re.compile(r"[A-Z]{2,}(?:[_ -][A-Z]+)*|[a-z]+(?:_[a-z]+)+")
ENCLOSED = re.compile("[①-⒛⓪-⓿❶-➓㉈-㉏㉑-㉟㊱-㊿]|[0-9]\ufe0f?\u20e3")
_LETTERS, _NUMERALS = "I II III IV V VI VII VIII IX X XI XII", "一 二 三 四 五 六 七 八 九 十 十一 十二"
_ROMAN = dict(zip(_LETTERS.split(), _NUMERALS.split(), strict=True))
ROMAN = re.compile(
    r"(?<=第)(?:VIII|VII|VI|V|IV|IX|III|II|I|XII|XI|X)(?=[一-鿿])"
    r"|(?<![A-Za-z0-9])(?:VIII|VII|VI|IV|IX|III|II)(?=[级級型期类類度章]|世(?!界))"
)
"""Roman numerals in letters that count something in Chinese: 第IV章, II型."""
INVISIBLE = re.compile("[^\x20-\x7e一-鿿]")


def spoken_only(text: str) -> str:
    """A text without annotations and invisible characters, and with digits for numbers in one sign. Idempotent."""
    if text.isascii() and not re.search(r"[<\[\x7f]", text):
        return text
    text = INVISIBLE.sub(lambda m: "" if unicodedata.category(m[0]) == "Cf" else m[0], text)
    text = ROMAN.sub(lambda m: _ROMAN[m[0]], text)
    text = ENCLOSED.sub(_enclosed, re.sub(r"№\s?", "No. ", text)).replace("\u20e3", "")
    before = None
    while before != text:
        before, text = text, BRACKET.sub(_bracket, TAG.sub(" ", text))
    return text


def _bracket(m: re.Match[str]) -> str:
    inner = m[1].strip()
    return " " if CODE.fullmatch(inner) or (len(inner.split()) < 5 and SOUND.search(inner)) else m[0]


def _enclosed(m: re.Match[str]) -> str:
    value = unicodedata.numeric(m[0][0], None)
    if value is None:  # a letter in a circle, which NFKC reads
        return m[0]
    before, after = m.string[: m.start()][-1:], m.string[m.end() : m.end() + 1]
    front = ", " if re.match(r"[0-9０-９]", before) else ""
    return f"{front}{int(value)}{', ' if re.match('[0-9０-９]', after) or ENCLOSED.match(m.string, m.end()) else ''}"
