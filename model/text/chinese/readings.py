"""Chinese characters to pinyin by the word and its neighbours, before tone sandhi.

Words and parts of speech from rjieba (the jieba dictionary in Rust), readings in this order: our reviewed words
(`chinese_words`), also across the borders that jieba set; rules for single characters of several readings
(`chinese_polyphones`); the phrase dictionary of pypinyin; the commonest reading of the character. Then the neutral
tones that grammar gives. No model is used: g2pW would resolve more rare contexts, but needs weights.
"""

import re
from dataclasses import dataclass

from voicemill.model.text.chinese.polyphones import reading_in_context
from voicemill.model.text.chinese.words import DIRECTIONS, DOUBLED, FULL_ZI, LOCATIVE_FULL, NEUTRAL, PARTICLES, readings

NUMERAL = "零一二三四五六七八九十百千万亿两幺萬億兩"
CLASSIFIER = (
    "个個只本张張條条次位名匹辆台座栋间口双对副套把支枝朵棵株颗粒块片种首幅句段部架艘扇杯瓶碗盘箱袋盒"
    "天年岁元米斤吨升倍层遍趟门封"
)
NO_NUMBERS = ("一样", "十分", "万分", "一般", "一起", "千万", "万一", "一边", "一直", "一定", "一口", "一句")
"""Words that begin like a number and are none."""


@dataclass
class Word:
    """A word: its characters, its part of speech (jieba's tags: n, v, a, d, r, m, q, p, u..., x = a mark), and for each
    character a pinyin syllable with tone digit; None for a mark or a character without a reading."""

    text: str
    tag: str
    pinyin: list[str | None]


def read(text: str) -> list[Word]:
    """Words of a normal form in order, with their tones before sandhi; their texts joined are the input."""
    words = [Word(t, tag, [None] * len(t)) for t, tag in _split(text)]
    done = [False] * len(words)
    for i in range(len(words)):
        for size in range(min(4, len(words) - i), 0, -1):
            span = words[i : i + size]
            joined = "".join(w.text for w in span)
            syllables = None if any(done[i : i + size]) or len(joined) > 4 else reviewed_reading(joined)
            if syllables:
                for word in span:
                    word.pinyin, syllables = list(syllables[: len(word.text)]), syllables[len(word.text) :]
                done[i : i + size] = [True] * size
                break
    for i, word in enumerate(words):
        if not done[i] and is_han(word.text[0]):
            word.pinyin = list(_word(words, i))
    for i, word in enumerate(words):
        _neutral(words, i, word)
    return words


def reviewed_reading(word: str) -> tuple[str | None, ...] | None:
    """Reviewed reading of a word, or None."""
    if word in readings():
        return readings()[word]
    if word in NEUTRAL:
        plain = _dictionary(word)
        return (*plain[:-1], _toneless(plain[-1]))
    return None


def is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or character >= "\U00020000"


def _split(text: str) -> list[tuple[str, str]]:
    """Words of jieba, with every number as one word (tag m) and its classifier (tag q) separate."""
    import rjieba

    parts: list[tuple[str, str]] = []
    for word, tag in rjieba.tag(text, False):
        head = re.match(rf"[{NUMERAL}]+", word)
        if re.fullmatch(rf"[{NUMERAL}]+点[{NUMERAL}]{{2,}}分?", word):
            parts += [(piece, "m") for piece in re.findall(rf"[{NUMERAL}]+|[^{NUMERAL}]+", word)]
        elif head and word not in NO_NUMBERS and (head[0] == word or word[head.end() :] in CLASSIFIER):
            parts.append((head[0], "m"))
            if head.end() < len(word):
                parts.append((word[head.end() :], "q"))
        else:
            parts.append((word, tag))
    merged: list[tuple[str, str]] = []
    for i, (word, tag) in enumerate(parts):
        number = tag == "m" and word[-1] in NUMERAL
        point = word == "点" and i + 1 < len(parts) and parts[i + 1][1] == "m" and parts[i + 1][0][0] in NUMERAL
        if merged and merged[-1][1] == "m" and merged[-1][0][-1] in NUMERAL + "点" and (number or point):
            merged[-1] = (merged[-1][0] + word, "m")
        elif merged and merged[-1][1] == "m" and word in CLASSIFIER:
            merged.append((word, "q"))
        else:
            merged.append((word, tag))
    return merged


def _word(words: list[Word], i: int) -> list[str | None]:
    """Reading of a word that the reviewed table lacks: rules for one character, known beginning or end, dictionary."""
    word = words[i].text
    if len(word) == 1:
        before = "".join(w.text for w in words[:i])[-8:]
        behind = "".join(w.text for w in words[i + 1 :])[:8]
        tags = (words[i - 1].tag if i else "", words[i].tag, words[i + 1].tag if i + 1 < len(words) else "")
        contextual = reading_in_context(word, before, behind, tags)
        return [contextual] if contextual else _dictionary(word)
    if all(c in NUMERAL + "点" for c in word):
        return [s for c in word for s in _dictionary(c)]
    plain = _pieces(word)
    if len(word) == 3 and word[1] == "得" and word[0] not in "不非总":
        return [plain[0], "de5", plain[2]]  # 看得见
    if len(word) < 4 or not _is_phrase(word):
        # inside a word our reviewed ones still hold (女朋友), inside an idiom they need not (东西南北)
        for size in range(len(word) - 1, 1, -1):
            if head := reviewed_reading(word[:size]):
                return [*head, *plain[size:]]
            if tail := reviewed_reading(word[-size:]):
                return [*plain[:-size], *tail]
    return plain


def _pieces(word: str) -> list[str | None]:
    """Reading of a word that the phrase dictionary lacks, from its fewest phrases and characters (银行 + 行长)."""
    best: list[tuple[int, list[str | None]]] = [(0, [])]
    for end in range(1, len(word) + 1):
        options = []
        for start in range(end):
            piece = word[start:end]
            reviewed = reviewed_reading(piece)
            if len(piece) == 1 or reviewed or _is_phrase(piece):
                cost = best[start][0] + (3 if len(piece) == 1 else 2)
                contextual = reading_in_context(piece, word[:start], word[end:], None) if len(piece) == 1 else None
                options.append(
                    (cost, [*best[start][1], *(reviewed or ([contextual] if contextual else _dictionary(piece)))])
                )

        best.append(min(options, key=lambda option: option[0]))
    return best[-1][1]


def _is_phrase(word: str) -> bool:
    from pypinyin.constants import PHRASES_DICT

    return word in PHRASES_DICT


def _dictionary(word: str) -> list[str | None]:
    """Reading by pypinyin, with 一 and 不 in their own tones: its phrases give them after sandhi."""
    syllables = _pypinyin(word)
    if len(syllables) != len(word):
        syllables = [s for c in word for s in _pypinyin(c)]
    return [{"一": "yi1", "不": "bu4"}.get(c, s) for c, s in zip(word, syllables, strict=True)]


def _pypinyin(word: str) -> list[str | None]:
    from pypinyin import Style, lazy_pinyin

    # the default for characters it cannot read is the character itself
    syllables: list[str] = lazy_pinyin([word], style=Style.TONE3, neutral_tone_with_five=True)
    return [s if s[-1:].isdigit() and s.isascii() else None for s in syllables]


def _toneless(syllable: str | None) -> str | None:
    return syllable and syllable[:-1] + "5"


def _neutral(words: list[Word], i: int, word: Word) -> None:
    """Set the neutral tones of grammar in `word`: particles, suffixes, places, directions, doubled verbs."""
    text, tag, last = word.text, word.tag, word.text[-1]
    before = words[i - 1] if i else None
    behind = words[i + 1].text if i + 1 < len(words) else ""
    spoken_before = before is not None and before.pinyin[-1] is not None
    if (
        (last in PARTICLES and (len(text) > 1 or spoken_before))
        or (last == "子" and len(text) > 1 and text[-2:] not in FULL_ZI and text not in FULL_ZI and tag[0] in "nvmztsr")
        or (last in "上里裡" and 1 < len(text) < 5 and tag in ("s", "f", "n", "t") and text not in LOCATIVE_FULL)
        or (text in ("里", "裡") and before is not None and spoken_before and before.tag[0] not in "mvdp")
        or (
            text == "上"
            and before is not None
            and _is_place(before)
            and (not behind.startswith(("了", "过", "着")) or any(w.text == "在" for w in words[max(0, i - 3) : i]))
        )
        or (
            text in ("来", "去", "來")
            and before is not None
            and before.text[-1] in "上下进出回过起"
            and len(before.text) > 1
            and before.tag[0] == "v"
        )
        or text[-2:] in DIRECTIONS
        or (len(text) == 2 and text[0] == last and is_doubled_verb(word))
        or (text == "过" and tag == "ug")
    ):
        word.pinyin[-1] = _toneless(word.pinyin[-1])
    elif last == "子" and (text in FULL_ZI or text[-2:] in FULL_ZI):
        word.pinyin[-1] = "zi3"
    for k, character in enumerate(text):
        left = text[k - 1] if k else before.text[-1] if before else ""
        if character in "个個" and (
            (left and left in NUMERAL + "这那哪几每各半多少整某俩上下頭头這幾")
            or (text in ("个", "個") and spoken_before)
        ):
            word.pinyin[k] = "ge5"


def is_doubled_verb(word: Word) -> bool:
    """Whether a word is a doubled verb (问问, 试试), by its character: jieba tags some of them as nouns."""
    return len(word.text) == 2 and word.text[0] == word.text[1] and word.tag[0] in "vn" and word.text[0] in DOUBLED


def _is_place(word: Word) -> bool:
    """Whether 上 after this word means a place: 桌子上, 地上. jieba's tag zg holds many nouns of one syllable."""
    return word.pinyin[-1] is not None and (word.tag[0] in "ns" or word.tag == "zg")
