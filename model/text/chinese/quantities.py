"""Digits and signs of Chinese text as words: dates, times, telephones, money, measures, ratios, sums, plain numbers.

`spell_out` applies the rules of `RULES` from the most specific to the plainest; each rewrites what it knows around the
digits ("5kg" -> "5公斤") and leaves the digits to the last one, unless they are read one by one (years, telephones,
identifiers). Text must be half-width (NFKC), with `、` for every full-width comma.
"""

import re
from collections.abc import Callable
from re import Match

from voicemill.model.text.chinese.numbers import before_classifier, cardinal, digits, number
from voicemill.model.text.chinese.units import LONG, PART, PARTS, UNIT, UNITS, WORDED, measure

NUM = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
TO = r"\s*(?:[-~–−至到]|—{1,2})\s*"

CLASSIFIERS = (
    "个只本张条件次位头匹辆台座栋幢间家口双对副套把支枝朵棵株颗粒块片种类样岁人元米斤吨升克倍天周秒杯瓶碗盘箱袋包盒篇"
    "首幅句段部架艘门节步遍趟回场起笔封滴串束群队批股名份万亿千点分角毛度"
)
COUNTED = (
    rf"[{CLASSIFIERS}]|年(?!级|[0-9])|小时|分钟|公里|公斤|公顷|厘米|毫米|千克|毫克|毫升|平方|立方|英镑|美元|欧元|港元|星期|礼拜"
    "|个月"
)
CURRENCIES = {
    "US$": "美元", "HK$": "港元", "NT$": "新台币", "¢": "美分", "$": "美元", "¥": "元", "€": "欧元", "£": "英镑",
    "₩": "韩元", "₹": "卢比", "₽": "卢布", "฿": "泰铢", "₫": "越南盾", "₱": "比索",
}  # fmt: skip
SIGNS = {"+": "加", "-": "减", "−": "减", "×": "乘", "*": "乘", "÷": "除以", "/": "除以", "=": "等于", "≈": "约等于"}
SIGN = "".join(sign for sign in CURRENCIES if len(sign) == 1)
COMPARISONS = {"≥": "大于等于", "≤": "小于等于", ">": "大于", "<": "小于", "≈": "约等于", "±": "正负", "≠": "不等于"}

IS = r"(?:是|为|叫|:|\s)*"
NAMED = (
    r"(?:编号|学号|工号|订单号?|单号|账号|卡号|密码|验证码|身份证号码|身份证号?|Q ?Q号?|车牌号?|序列号|号码|代码|"
    r"航班号?|车次|尾号|准考证号|波音|空客)"
)
PLACED = r"(?:(?:房间|房|门牌|包间|宿舍)号码?|邮编|邮政编码)"
"""Numbers of rooms and postcodes, said with 幺."""
CALL = r"(?:拨打|拨|致电|打|热线|电话|电话号码|报警)"
EMERGENCY = r"(?P<n>1(?:10|12|14|19|20|22)|911|999)"
CALLS = r"(?:呼叫|叫|打了|打过|火警|匪警|报警|急救|救护|消防)(?:是|为|:|\s)*"
HOT = r"(?:热线|客服|专线|平台|投诉|举报|官网|网站|咨询|官方)"
LINES = r"(?:消防|交通事故|查号|接到|来电|求助|报警|火警|急救|救护|电话|热线|指挥中心|接警|出警|民警|调度|接线|服务台)"
MEASURED = rf"(?:[{CLASSIFIERS}]|{'|'.join(set(UNITS.values()))})"
MONTH_DAY = r"(?:[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
EVENT = r"(?:事件|袭击|事变|地震|惨案|运动|晚会|大促|购物节|购物狂欢节|空难|恐怖袭击|恐袭)"
VALUED = (
    "是为到至于了约得在从达低高差降升温值率分数额比损增减跌涨余速户轴标等加乘以和与及或负"
    "第一二三四五六七八九十百千万亿零"
)
"""Characters behind which a hyphen in front of a number is a minus, and no part of a name (歼-20)."""


def _year(m: Match[str]) -> str:
    # 2000年前, 3000年的历史: a length of time, not a year
    thousands = m[1].endswith("000") and re.match(r"前|后|来|的?历史|左右|时间", m.string[m.end() :])
    return m[0] if thousands or int(m[1]) > 2200 else digits(m[1]) + "年"


def _clock(hour: str, minute: str, second: str | None) -> str:
    words = before_classifier(str(int(hour))) + "点"
    if second is None and minute in ("00", "30"):
        return words + ("半" if minute == "30" else "")
    words += _two(minute) + "分"
    return words if second is None else words + _two(second) + "秒"


def _two(pair: str) -> str:
    """Words of minutes and seconds: 05 -> 零五."""
    return ("零" if pair[0] == "0" and pair != "00" else "") + cardinal(pair)


def _time(m: Match[str]) -> str:
    if re.search(r"(?:比分|比例|比率|配比|以|\d:)" + IS + "$", m.string[: m.start()]):
        return m[0]
    return _clock(m[1], m[2], m[3])


def _telephone(m: Match[str]) -> str:
    groups = [g for g in re.split(r"[-\s+()]+", m["n"]) if g]
    return m["before"] + "、".join(digits(g, one="幺") for g in groups)


def _groups(m: Match[str]) -> str:
    return "、".join(digits(g) for g in m[0].split("-"))


def _dotted(m: Match[str]) -> str:
    # 192.168.1.1 is an address, digit by digit; 2.0.1 a version, by its numbers
    parts = m[0].split(".")
    return "点".join(digits(p) if len(parts) == 4 else cardinal(p) for p in parts)


def _money(m: Match[str]) -> str:
    return f"{_plain(m['amount'])}{m['scale'] or ''}{CURRENCIES[m['sign']]}"


def _day_named(m: Match[str]) -> str:
    """A date that names a day: 9·11, 10·1."""
    return ("十" if m[1] == "10" else digits(m[1])) + digits(m[2])


def _season(m: Match[str]) -> str:
    """Two years of a season or school year: 2023/24; two of four digits with 到."""
    return digits(m[1]) + ("到" if len(m[1]) == len(m[2]) == 4 else "") + digits(m[2])


def _years(m: Match[str]) -> str:
    """Two years in a row, or a year and a month: 2023/24, 2023/05."""
    if int(m[2]) == (int(m[1]) + 1) % 100:
        return digits(m[1] + m[2])
    return f"{digits(m[1])}年{int(m[2])}月" if 1 <= int(m[2]) <= 12 else m[0]


def _model(m: Match[str]) -> str:
    """Number of an aircraft, a weapon or a spacecraft behind its name and a hyphen: 歼-20."""
    if re.search(r"\d[一-鿿]{1,2}$", m.string[: m.start()]):  # 3月-5月
        return m[0]
    return digits(m[1]) if len(m[1]) > 2 or m[1][0] == "0" else cardinal(m[1])


def _plain(amount: str) -> str:
    """Price without its last zeros, which are not read: 80.00 -> 80, 25.50 -> 25.5."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _sum(m: Match[str]) -> str:
    return re.sub(r"\s*([+\-−×÷*/=≈])\s*(?=-?\d)", lambda s: SIGNS[s[1]], m[0])


def _below_zero(m: Match[str]) -> str:
    low, high, unit = m["low"], m["high"], m["unit"] or "度"
    words = "零下" + low[1:] if low[0] in "-−" else low
    if high:
        words += "到" + ("零下" + high[1:] if high[0] in "-−" else high)
    return words + {"C": "摄氏度", "F": "华氏度"}.get(unit[-1], "度")


RULES: list[tuple[re.Pattern[str], Callable[[Match[str]], str]]] = [
    (re.compile(pattern, re.ASCII), rewrite)
    for pattern, rewrite in [
        # longer than any number that has a name
        (r"(?<![\d.])\d{17,}", lambda m: digits(m[0])),
        # dates and years
        (rf"(?<![\d.])(\d{{4}}|\d\d)(?:/|{TO})(\d{{4}}|\d\d)(?=年?(?:赛季|学年|财年|雪季|年度|季(?![度节])))", _season),
        (r"(?<!\d)([12]\d{3})([-/.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?!\d|\.\d)",
         lambda m: f"{digits(m[1])}年{int(m[3])}月{int(m[4])}日"),
        (rf"(?<!\d)([12]\d{{3}})年?{TO}([12]\d{{3}})(?=年)", lambda m: f"{digits(m[1])}到{digits(m[2])}"),
        (r"(?<!\d)([12]\d{3})年", _year),
        (r"(?<!\d)(\d\d)年(?=\d{1,2}月)", lambda m: digits(m[1]) + "年"),
        (r"(?<!\d)([12]\d{3})(?=届|级|财年|学年|赛季|款)", lambda m: digits(m[1])),
        (r"(?<![\d./])([12]\d{3})/(\d\d)(?![\d/.])", _years),
        (r"(?<![\d.])(1[0-2]|[1-9])[·•‧・](3[01]|[12]\d|[1-9])(?!\d)", _day_named),
        (rf"(?<![\d.])(1[0-2]|[1-9])\.(3[01]|[12]\d|[1-9])(?=[一-鿿]{{0,2}}{EVENT})", _day_named),
        (r"(?<![\d.])(\d\d)(?=式(?!样))", lambda m: digits(m[1])),
        (rf"(?<![\d.,])({MONTH_DAY})(?![{CLASSIFIERS}])(?=[一-鿿]{{0,3}}{EVENT})", lambda m: digits(m[1])),
        (r"(?<![\d.第])([0-9][05])(?=后(?![天来年续方面]))", lambda m: digits(m[1])),
        (r"(?<![\d.])(985|211)(?=高校|大学|院校|工程|[、/和及]\d)|(?<![\d.])(996)(?=工作制|加班|福报)",
         lambda m: digits(m[0])),
        (r"(?<![\d./])(1[0-2]|[1-9])/(3[01]|[12]\d|[1-9])(?=放假|起(?!码)|开始|当天|当晚|上午|下午|晚上?|早上|凌晨|之前|以前|截止|到期)",
         lambda m: f"{int(m[1])}月{int(m[2])}日"),
        # telephones
        (rf"(?<![\d.,])(?P<before>){EMERGENCY}(?={LINES})", _telephone),
        (rf"(?P<before>{CALLS}){EMERGENCY}(?![\d.,多余]|{MEASURED})", _telephone),
        (rf"(?<![\d.,])(?!\d\d000)(1[0-2]\d{{3}}|9[56]\d{{3,4}})(?![{CLASSIFIERS}\d多余几])(?=[一-鿿]{{0,4}}{HOT})",
         lambda m: digits(m[1])),
        (rf"(?<![\d.,])12306(?![\d.,多余]|{MEASURED})", lambda m: digits(m[0])),
        (r"(?<![\d.])(?P<before>)(?P<n>(?:\+?86[-\s]?)?1[3-9]\d[-\s]?\d{4}[-\s]?\d{4})(?!\d)", _telephone),
        (r"(?<![\d.])(?P<before>)(?P<n>(?:\+\d{1,3}-)?\(?0\d{2,3}\)?[-\s]?\d{7,8}(?:-\d{1,5})?)(?!\d)", _telephone),
        (r"(?<![\d.])(?P<before>)(?P<n>[48]00-?\d{3,4}-?\d{3,4})(?!\d)", _telephone),
        (rf"(?P<before>{CALL}{IS})(?P<n>\+?\d{{3,}}(?:[-\s]\d+)*)(?!\d|[个次元块张天年])", _telephone),
        # identifiers
        (r"(?<![\d.])\d+(?:-\d+){2,}(?!\d)", _groups),
        (rf"({PLACED}{IS}[A-Za-z]*-?|房间(?:是|为|:|\s)*)(\d{{3,}})(?![\d个间平])",
         lambda m: m[1] + digits(m[2], one="幺")),
        (rf"({NAMED}{IS}[A-Za-z]*-?)(\d+)", lambda m: m[1].rstrip("-") + digits(m[2])),
        (r"(?<![\d.])(\d{3,4})(?=号?(?:房|教室|室|宿舍|包间|病房))", lambda m: digits(m[1], one="幺")),
        (r"(?<![\d.])(\d{3,4})(?=路(?:公交|车))", lambda m: digits(m[1])),
        (rf"(?<=[一-鿿])(?<![{VALUED}])-(\d{{1,3}})(?![\d.:]?\d|[%‰°~\-–/]|[元块万亿度米分倍]|个百分点"
         rf"|(?:{LONG})(?![A-Za-z]))", _model),
        (r"(?<=[A-Za-z])(\d{3,})(?![\d.])", lambda m: digits(m[1])),
        (r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.])", _dotted),
        (r"(?<![\d.,:点])0\d+(?![\d.:年月日号时点分])", lambda m: digits(m[0])),
        # times of day
        (r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])", _time),
        (rf"(?<=[点分半秒]){TO}(?=[零一二三四五六七八九十两]+点)", lambda m: "到"),
        (r"(?<=\d点)0(\d)(?=分)", lambda m: "零" + m[1]),
        # sums, before a minus is taken for a range
        (rf"{NUM}(?:\s*[+\-−×÷*/]\s*{NUM})+\s*[=≈]\s*-?{NUM}", _sum),
        (rf"{NUM}\s*=\s*-?{NUM}", _sum),
        # scores and ratios
        (r"(?<![\d.])(\d+):(\d+(?:\.\d+)?)(?::(\d+))?(?![\d:])",
         lambda m: "比".join(number(n).replace("两", "二") for n in m.groups() if n)),
        (r"(?<=以)(\d+)-(\d+)(?!\d)|(?<![\d.])(\d+)-(\d+)(?=战胜|击败|领先|落后|取胜|获胜|战平|逼平|大胜|平(?![方均米]))",
         lambda m: f"{cardinal(m[1] or m[3])}比{cardinal(m[2] or m[4])}"),
        # money
        (rf"([{SIGN}])({NUM}){TO}({NUM})", lambda m: f"{_plain(m[2])}到{_plain(m[3])}{CURRENCIES[m[1]]}"),
        (r"(?<=[元块])/(?=\d+(?:k?g|m?L|ml|克|斤|公斤|升|毫升|天|小时|次|个|人)(?![A-Za-z]))", lambda m: "每"),
        (rf"(?<![\d.,$¥€£])(?P<amount>{NUM})\s*(?P<scale>[百千万亿]*)\s*(?P<sign>US\$|HK\$|NT\$|[{SIGN}])(?!\s*\d)元?",
         _money),
        (rf"(?P<sign>US\$|HK\$|NT\$|[{SIGN}])\s*(?P<amount>{NUM})\s*(?P<scale>[百千万亿]*)(?:元)?", _money),
        (rf"({NUM})(?=[元块])", lambda m: _plain(m[1])),
        # percent
        (rf"({NUM})%{TO}({NUM})%", lambda m: f"百分之{m[1]}到百分之{m[2]}"),
        (rf"({NUM}){TO}({NUM})%", lambda m: f"百分之{m[1]}到{m[2]}"),
        (rf"(?:(?<![\dA-Za-z])([-−]))?({NUM})([%‰])",
         lambda m: ("负" if m[1] else "") + ("百" if m[3] == "%" else "千") + f"分之{m[2]}"),
        # temperatures and angles
        (r"(\d+)°(\d+)[′'](?:(\d+)(?:″|′′|\"|''))?",
         lambda m: f"{cardinal(m[1])}度{cardinal(m[2])}分" + (f"{cardinal(m[3])}秒" if m[3] else "")),
        (rf"(?P<low>(?<![\dA-Za-z])[-−]{NUM}|{NUM})(?:°C?)?(?:[~到至–-](?P<high>[-−]?{NUM}))?(?P<unit>°[CF]?)",
         _below_zero),
        (rf"(?P<low>(?<![\dA-Za-z])[-−]{NUM})(?P<high>)(?P<unit>)度", _below_zero),
        # measures
        (rf"(?P<number>{NUM})\s*{UNIT}", measure),
        (rf"(?<=\d)([百千万亿]*{WORDED})/(?=小时|分钟?|秒|[天日周月年人次个件斤克升米吨亩只瓶盒箱包套间晚位份张公千平立毫])",
         lambda m: m[1] + "每"),
        (r"(?<=[元块])/(?:(kg|g|L|m2|h)(?![A-Za-z])|(?=[一-鿿]))", lambda m: "每" + UNITS.get(m[1] or "", "")),
        (r"(?<=\d秒)(\d\d?)(?!\d|\.\d|[一-鿿])", lambda m: digits(m[1])),
        (r"(?<=\d[米块])(\d\d?)(?![\d.])(?=[,.、。!?;]|$)", lambda m: digits(m[1])),
        (r"(?<=[一-鿿])~(?=\d)|(?<=\d/\d)~(?=\d)", lambda m: "到"),
        (r"(?<=[里米])/时(?!间)", lambda m: "每小时"),
        # fractions; a blood pressure is two numbers
        (r"(?<=血压)((?:是|为|:|\s)*\d{2,3})/(\d{2,3})(?!\d)", lambda m: f"{m[1]}、{m[2]}"),
        (r"(?<![\d./])(\d+)(?:\s+|又)(\d{1,2})[/⁄](\d{1,2})(?![\d/])",
         lambda m: f"{cardinal(m[1])}又{cardinal(m[3])}分之{cardinal(m[2])}"),
        (r"(?<![\d./])(\d+)[/⁄](\d+)(?![\d/])", lambda m: f"{cardinal(m[2])}分之{cardinal(m[1])}"),
        # ranges
        (rf"(?<![\d.A-Za-z-])({NUM}[一-鿿]{{0,2}})\s*(?:[-~–−到]|—{{1,2}}|(至))\s*({NUM})(?![\d-])",
         lambda m: f"{m[1]}{m[2] or '到'}{m[3]}"),
        (rf"(?<=\d)([百千万亿]*{WORDED})/({PART})(?![A-Za-z0-9])", lambda m: f"{m[1]}每{PARTS[m[2]]}"),
        # signs that stand alone
        (r"(?<=\d)['\"′″()·•‧・@&#$¥€£]+(?=\d)", lambda m: "、"),
        (r"√\s*(?=\d|[A-Za-z])", lambda m: "根号"),
        (r"(?<=\d)\s*[xX]\s*(?=\d)|\s*×\s*(?=\d)", lambda m: "乘"),
        (r"(?<=[0-9²³])\s*([+×÷*=])\s*(?=\d)|(?<=[A-Za-zα-ωΑ-Ω])\s*(=)\s*(?=-?\d)", lambda m: SIGNS[m[1] or m[2]]),
        (r"\s*([≥≤><≈±≠])\s*(?=-?\d|[百千]分之|负百分之)", lambda m: COMPARISONS[m[1]]),
        (r"(?<=[0-9A-Za-z])的?²", lambda m: "的平方"),
        (r"(?<=[0-9A-Za-z])的?³", lambda m: "的立方"),
        # plain numbers
        (rf"(?<![\dA-Za-z])[-−](?={NUM})", lambda m: "负"),
        (rf"(?<![\d.第初周]){NUM}(?={COUNTED}|到\d+(?:\.\d+)?(?:{COUNTED}))", lambda m: before_classifier(m[0])),
        (NUM, lambda m: number(m[0])),
    ]
]  # fmt: skip


def spell_out(text: str) -> str:
    """Replace every number of half-width text, with its signs, by Chinese words."""
    for pattern, rewrite in RULES:
        text = pattern.sub(rewrite, text)
    return text
