"""Readings of single characters that stand as a word of their own, by the characters and parts of speech around them.

One rule a line of `_TABLE`: the character, its reading, a pattern for the end of the text before it and one for the
start of the text behind it; `*` is anything, N a numeral. The first that holds is taken. Reviewed by hand after the
Modern Chinese Dictionary. Parts of speech are jieba's, wrong often enough that characters decide where they can.
"""

import re
from functools import cache

from voicemill.model.text.chinese.words import SURNAMES, TITLES

NUMERALS = "[零一二三四五六七八九十百千万亿两几]"

_TABLE = """
长 chang2 [很太更最多又较这那么样米尺特别]$ *
长 zhang3 * 得|着|了|在|出|满|成|大|高|胖|相|个
长 zhang3 [校部县局院处科组]$ *
长 chang2 * *
行 hang2 (?:N|[这那哪每第])$ *
重 chong2 (?:N|[双多])$ *
得 dei3 [我你他她它们也都还就总必非可又只]$ [^了出到意知奖]
得 de2 * 奖|分|知|出|到|病|罪
得 de5 * *
地 de5 [声样快慢静细认真兴速心力烈切地然显常乐]$ [^上下里面板球铁区方]
着 zhao2 [睡找猜点够买打逮]$ 了|$|[,.!?]
了 liao3 [一-鿿][不得]$ *
都 du1 [首古故京帝成迁国建]$ *
为 wei2 [称视认成作变分定改选评名誉封译列设转化沦]$ *
为 wei2 * N|准|主|例|首|生|止|限|难|重
为 wei4 * 了|此|什么|何|[我你他她它们]
为 wei2 * [^,.!?]{0,2}(?:[,.!?]|$)
为 wei2 * *
觉 jiao4 睡.{0,7}$ *
觉 jiao4 [一个好睡午懒这]$ *
调 tiao2 * 成|高|低|大|小|好|整|节|一|温|音量|和|到
调 diao4 * 来|去|走|往|入|离|任|回|派|兵|研|头
调 tiao2 * *
降 xiang2 [投诱归招]$ *
教 jiao1 * [我你他她它书课给会]|学生|孩子|大家|英语|数学|语文|谁|人|了|过|得|他们
背 bei1 * 着|起|书包|包|上[^都有]|负|了|孩子
种 zhong3 (?:N|[这那哪每各某多另此同一])$ *
种 zhong4 * 在|了|着|下|过|树|花|菜|地|田|满|上|出|草|点
种 zhong4 [要会想来去能没]$ *
只 zhi1 (?:N|[这那哪每多半])$ (?![是有能要会好])
空 kong4 [有没抽得]$ *
转 zhuan4 * 得|着|圈|个不停|起来|悠
转 zhuan4 [打直团]$ *
弹 dan4 [子炸炮导核]$ *
弹 tan2 * *
倒 dao4 [水茶酒汤油奶药]$ *
倒 dao4 * 水|茶|酒|车|是|退|立|计|数|垃圾|也|掉|(?:了|满|上)?[一两]?[杯碗]
倒 dao3 * *
干 gan4 * 什么|嘛|吗|活|完|得|了|过|掉|着|一番|事|到
干 gan4 [在想能会敢怎么肯苦实]$ *
系 ji4 * 鞋带|安全带|领带|好|上|着|紧|了|围巾|扣
量 liang2 * 体温|尺寸|身高|血压|一|了|出|过|体重|腰围
切 qie1 * *
盛 cheng2 * 饭|汤|满|水|了|在|着|一
扎 za1 * 辫|头发|成
晃 huang4 * *
剥 bao1 * *
削 xiao1 * *
挨 ai2 * 打|骂|饿|批|了
卷 juan4 [试考答问画]$ *
假 jia4 [放请休病产寒暑婚事年春长]$ *
尽 jin3 * 管|量|快|早|可能
尽 jin4 * *
宁 ning4 * 可|愿|肯
传 zhuan4 [自列别外正小]$ *
血 xie3 [流吐滴]了?$ *
露 lou4 * 脸|馅|一手
落 la4 把[^,]{1,6}$ 在
还 huan2 * N+[元块]
还 huan2 * 我|你|他|她|它|给|钱|书|债|款|清|了|掉|人情|$|[,.!?]
数 shu3 * 一数|不|了|着|到|完|得|起|出|下|数|[一二两三]
看 kan1 * 家|门|守|护
朝 zhao1 今$ *
幢 zhuang4 * *
斗 dou3 N$ *
率 shuai4 * 领|队|先|众|部
谁 shei2 * *
嗯 en4 * *
唉 ai4 * *
"""


@cache
def _rules() -> dict[str, list[tuple[str, re.Pattern[str], re.Pattern[str]]]]:
    """Character -> (reading, end of the text before, start of the text after)."""
    rules: dict[str, list[tuple[str, re.Pattern[str], re.Pattern[str]]]] = {}
    for line in _TABLE.strip().split("\n"):
        character, reading, *around = line.split(" ")
        before, behind = (re.compile("" if a == "*" else a.replace("N", NUMERALS)) for a in around)
        rules.setdefault(character, []).append((reading, before, behind))
    return rules


def reading_in_context(character: str, before: str, behind: str, tags: tuple[str, str, str] | None) -> str | None:
    """Reading of a one-character word, pinyin with tone digit; None where no rule applies.

    `before`, `behind`: up to 8 characters around it; `tags`: jieba's parts of speech of the word before, of this
    one and of the next, "" at the ends. None: the character stands inside a word that no dictionary has, where a rule
    needs something around it.
    """
    if character in SURNAMES and (behind.startswith(TITLES) or before.endswith("姓")):
        return SURNAMES[character]
    by_grammar = _by_grammar(character, behind, tags) if tags else None
    if by_grammar:
        return by_grammar
    for reading, left, right in _rules().get(character, ()):
        if not tags and not left.pattern and not right.pattern:
            continue
        if left.search(before) and right.match(behind):
            return reading
    return None


def _by_grammar(character: str, behind: str, tags: tuple[str, str, str]) -> str | None:
    left, _, right = tags
    if character == "得" and left[:1] in ("r", "d") and right[:1] in ("v", "r", "d", "p"):
        return "dei3"
    if character == "地" and left[:1] in ("a", "d", "z", "o", "l", "i") and right[:1] in ("v", "d", "p"):
        return "de5"
    if character == "还" and right[:1] in ("d", "v", "a", "p"):
        return "hai2"
    if character == "还" and right[:1] == "n":
        return "huan2"
    if character == "重" and right[:1] == "v":
        return "chong2"
    if character == "为" and right[:1] in ("n", "r") and behind.rstrip(",.!?") and _verb_follows(behind):
        return "wei4"
    return None


def _verb_follows(behind: str) -> bool:
    """Whether a verb follows the first noun: 为人民服务 against 北京为首都."""
    import rjieba

    clause = re.split("[,.!?…]", behind)[0]
    return any(tag.startswith("v") for _, tag in rjieba.tag(clause)[1:])
