"""Tone sandhi: 不, 一, third tones and erhua, over the words of `readings.read`.

不 is second before a fourth tone, neutral inside 去不去 and 听不懂. 一 keeps its first tone as a digit, an ordinal, at
the end; second before a fourth tone, fourth before the others, neutral inside 看一看. Third tones change by feet (Shih
1986, Chen 2000): inside a word by its parts, a number with its classifier from the left, monosyllables in pairs from
the right; then at every border of feet from right to left, unless both words are longer and the left one is a noun. A
儿 that only colours the syllable before it is no syllable for these rules, and takes the tone of that syllable.
"""

import re
from itertools import pairwise

from voicemill.model.text.chinese.readings import NUMERAL, Word, is_doubled_verb
from voicemill.model.text.chinese.words import FULL_ER

DIGIT = "零一二三四五六七八九幺"
PLACE = "十百千万亿"
COMPLEMENT = "见懂到住了起及完动下上出来去开过得清成掉多着够通惯透准齐尽全定倒中走进回满饱"
MODAL = "能会要可敢肯想该是都也就从并决将还又再总"
CALENDAR = "月日号號楼班级中"
Foot = list["Syllable"]


class Syllable:
    """One spoken syllable: a character, with the 儿 after it if that only colours it. `tone` changes in place."""

    def __init__(self, word: Word, place: int, number: int) -> None:
        self.word, self.place, self.number = word, place, number
        self.er: tuple[Word, int] | None = None

    @property
    def character(self) -> str:
        return self.word.text[self.place]

    @property
    def tone(self) -> str:
        return (self.word.pinyin[self.place] or "?")[-1]

    @tone.setter
    def tone(self, tone: str) -> None:
        self.word.pinyin[self.place] = (self.word.pinyin[self.place] or "")[:-1] + tone
        if self.er:
            self.er[0].pinyin[self.er[1]] = "er" + tone


def apply(words: list[Word]) -> None:
    """Change the tones of `words` to those after sandhi."""
    for phrase in _phrases(words):
        _one_and_not(phrase)
        _third(phrase)


def _phrases(words: list[Word]) -> list[list[Syllable]]:
    """Stretches between marks, each as syllables."""
    phrases: list[list[Syllable]] = [[]]
    for number, word in enumerate(words):
        for place, pinyin in enumerate(word.pinyin):
            if pinyin is None:
                phrases.append([])
            elif phrases[-1] and _colours(words, number, place):
                phrases[-1][-1].er = (word, place)
                phrases[-1][-1].tone = phrases[-1][-1].tone
            else:
                phrases[-1].append(Syllable(word, place, number))
    return [phrase for phrase in phrases if phrase]


def _colours(words: list[Word], number: int, place: int) -> bool:
    """Whether this character is a 儿 that only colours the syllable before it."""
    text = words[number].text
    if text[place] not in "儿兒" or place < len(text) - 1:
        return False
    if len(text) > 1:
        return not text.replace("兒", "儿").endswith(tuple(FULL_ER))
    following = words[number + 1].text if number + 1 < len(words) else ""
    before = words[number - 1].text[-1:] if number else ""
    return before + "儿" not in FULL_ER and not following.startswith(("子", "童", "科", "女", "孙", "媳", "歌", "戏"))


def _one_and_not(phrase: list[Syllable]) -> None:
    text = "".join(s.character for s in phrase)
    citation = [s.tone for s in phrase]
    for i, syllable in enumerate(phrase):
        before, behind = text[i - 1] if i else "", text[i + 1] if i + 1 < len(text) else ""
        following = "4" if behind in ("个", "個") else citation[i + 1] if behind else ""
        if syllable.character == "不":
            if behind and ((before == behind and text[i - 2 : i - 1] != "一") or _potential(phrase, i, before, behind)):
                syllable.tone = "5"
            elif following == "4":
                syllable.tone = "2"
        elif syllable.character == "一" and syllable.tone == "1":
            if behind and before == behind and before not in NUMERAL and not _pointed(text, i):
                syllable.tone = "5"
            elif behind and not _first_tone(phrase, i, text, before, behind):
                syllable.tone = "2" if following == "4" else "4"


def _potential(phrase: list[Syllable], i: int, before: str, behind: str) -> bool:
    """Whether 不 stands between a verb of one syllable and its complement: 听不懂, 对不起."""
    if not before or behind not in COMPLEMENT or before in MODAL:
        return False
    word = phrase[i].word
    if len(word.text) > 2 and word.text[1] == "不":
        return True
    left = phrase[i - 1].word
    return len(left.text) == 1 and left.tag.startswith("v")


def _first_tone(phrase: list[Syllable], i: int, text: str, before: str, behind: str) -> bool:
    """Whether this 一, followed by something, is a digit, an ordinal, a date or the end of a word."""
    word, two_before = phrase[i].word, text[i - 2] if i > 1 else ""
    if behind in "百千万亿萬億" and before != "第":
        return False
    if behind == "十" or before in tuple("第初周期拜之") or (behind in DIGIT and behind != "零"):
        return True
    if before in tuple(DIGIT + PLACE) and (phrase[i].place or word.text[-1] in NUMERAL):
        return True
    if _pointed(text, i) and behind != "刻":
        return True
    if re.match(rf"点[{DIGIT}](?![{NUMERAL}]*分)|[到至][{NUMERAL}]", text[i + 1 :]):
        return True
    if two_before in tuple(NUMERAL) and before in "比加减乘":
        return True
    if behind in "比加减乘" and text[i + 2 : i + 3] in tuple(NUMERAL):
        return True
    if text[i:].startswith(("一年级", "一等奖")) or (behind in CALENDAR and word.text in ("一", "一" + behind)):
        return True
    last = len(word.text) > 1 and phrase[i].place == len(word.text) - 1
    return last and word.text[:-1] not in tuple("同每某另这那任哪有又")


def _pointed(text: str, i: int) -> bool:
    """Whether this 一 follows the point of a decimal."""
    return i > 1 and text[i - 1] == "点" and text[i - 2] in NUMERAL


def _third(phrase: list[Syllable]) -> None:
    words: list[Foot] = []
    for syllable in phrase:
        if words and words[-1][0].word is syllable.word:
            words[-1].append(syllable)
        else:
            words.append([syllable])
    feet = _feet(words)
    for left, right in reversed(list(pairwise(feet))):
        noun = left[-1].word.tag[:1] in ("n", "t", "s", "f")
        if not noun or len(left[-1].word.text) == 1 or len(right[0].word.text) == 1:
            _meet(left, right)


def _meet(left: Foot, right: Foot) -> None:
    if left[-1].tone == "3" and right[0].tone == "3":
        left[-1].tone = "2"


def _feet(words: list[Foot]) -> list[Foot]:
    """Join words to feet whose tones are final: number and classifier, adverb and verb, pairs of monosyllables."""
    feet: list[Foot] = []
    single: list[Foot] = []

    def pair_up() -> None:
        start = len(single) % 2
        feet.extend([single[0]] if start else [])
        for k in range(start, len(single), 2):
            feet.append(_join(single[k], single[k + 1]))
        single.clear()

    rest = iter(range(len(words)))
    for i in rest:
        word, following = words[i], words[i + 1] if i + 1 < len(words) else None
        if following and _bound(word, following):
            pair_up()
            feet.append(_join(_inside(word), _inside(following)))
            next(rest)
        elif len(word) > 1:
            pair_up()
            feet.append(_inside(word))
        else:
            single.append(word)
    pair_up()
    return feet


def _bound(word: Foot, following: Foot) -> bool:
    """Whether two words form a foot: number or 这 and classifier, preposition and pronoun, adverb and long verb."""
    tag, next_tag = word[0].word.tag, following[0].word.tag
    if len(following) == 1 and next_tag[:1] == "q" and (tag[:1] == "m" or word[-1].character in "这那哪每几各"):
        return True
    if tag[:1] == "p" and next_tag[:1] == "r":
        return True
    adverb = len(word) == 1 and (tag == "d" or word[0].character in "很太也都更最")
    return adverb and len(following) > 1 and next_tag[:1] in ("v", "a")


def _join(left: Foot, right: Foot) -> Foot:
    _meet(left, right)
    return left + right


def _inside(word: Foot) -> Foot:
    """Change the third tones inside one word by its parts: 展览|馆, 小|老虎, 2 + 2."""
    if len(word) < 2:
        return word
    if all(s.character in NUMERAL + "点" for s in word):
        return _number(word)
    if is_doubled_verb(word[0].word) and word[0].tone == "3":
        word[0].tone = "2"  # 想想: the second was a third tone before it became neutral
    cut = _cut("".join(s.character for s in word))
    return _join(_inside(word[:cut]), _inside(word[cut:]))


def _cut(text: str) -> int:
    """Position of the main joint of a word, in characters."""
    if len(text) == 2:
        return 1
    if len(text) != 3:
        return 2
    import rjieba

    return 1 if rjieba.has_word(text[1:]) and not rjieba.has_word(text[:2]) else 2


def _number(word: Foot) -> Foot:
    """Change the third tones of a number: digits with places (二百|九十|九), bare digits in pairs, point and digit."""
    parts: list[Foot] = []
    for syllable in word:
        last = parts[-1] if parts else None
        if last and (syllable.character in PLACE or (len(last) == 1 and last[0].character not in PLACE)):
            last.append(syllable)
        else:
            parts.append([syllable])
    whole: Foot = []
    for part in parts:
        for left, right in pairwise(part):
            _meet([left], [right])
        whole = _join(whole, part) if whole else part
    return whole
