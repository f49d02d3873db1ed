"""Units behind a number in Chinese text, alone (5kg) and with a slash (100km/h, 3次/min)."""

import re
from collections.abc import Iterable

UNITS = {
    "km/h": "公里每小时", "m/s": "米每秒", "km2": "平方公里", "cm2": "平方厘米", "mm2": "平方毫米", "m2": "平方米",
    "cm3": "立方厘米", "m3": "立方米", "km": "公里", "KM": "公里", "Km": "公里", "cm": "厘米", "mm": "毫米",
    "nm": "纳米", "μm": "微米", "um": "微米", "dm": "分米", "m": "米", "kg": "公斤", "KG": "公斤", "Kg": "公斤",
    "mg": "毫克", "μg": "微克", "g": "克", "t": "吨", "ml": "毫升", "mL": "毫升", "ML": "毫升", "μL": "微升",
    "L": "升", "l": "升", "kWh": "千瓦时", "kW": "千瓦", "MW": "兆瓦", "GW": "吉瓦", "mW": "毫瓦", "W": "瓦",
    "kV": "千伏", "mV": "毫伏", "V": "伏", "mAh": "毫安时", "mA": "毫安", "A": "安", "Ω": "欧姆", "kΩ": "千欧",
    "MΩ": "兆欧", "kHz": "千赫", "MHz": "兆赫", "GHz": "吉赫", "Hz": "赫兹", "dB": "分贝", "kcal": "千卡",
    "kJ": "千焦", "kPa": "千帕", "MPa": "兆帕", "Pa": "帕", "mmHg": "毫米汞柱", "ha": "公顷", "mol": "摩尔",
    "mmol": "毫摩尔", "μmol": "微摩尔", "h": "小时", "min": "分钟", "ms": "毫秒", "μs": "微秒", "ns": "纳秒",
    "s": "秒", "kbps": "千比特每秒", "Mbps": "兆比特每秒", "Gbps": "吉比特每秒", "mph": "英里每小时",
    "rpm": "转每分钟", "bpm": "次每分钟", "fps": "帧每秒", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元",
    "HKD": "港元", "CNY": "元", "RMB": "元",
}  # fmt: skip
PARTS = UNITS | {
    "r": "转", "KB": "千字节", "kB": "千字节", "MB": "兆字节", "GB": "吉字节", "kb": "千比特", "Mb": "兆比特",
    "Gb": "吉比特", "kbit": "千比特", "Mbit": "兆比特", "J": "焦耳", "N": "牛", "IU": "国际单位", "U": "单位",
    "dL": "分升", "d": "天", "day": "天", "s2": "二次方秒", "K": "开", "H": "小时", "S": "秒",
}  # fmt: skip
"""Units on either side of a slash."""


def _any(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


PART = _any(PARTS)
LONG = _any(unit for unit in UNITS if len(unit) > 1)
UNIT = (
    rf"(?!A[级型式坦座栋区班股楼门口面])(?:(?P<part>{PART})\s?/\s?(?P<hundred>100)?(?P<per>{PART})|(?P<unit>{_any(UNITS)}))"
    "(?![A-Za-z0-9])"
)
"""Pattern of a unit behind a number."""
WORDED = (
    r"(?:[元块角分次人个件台转度斤吨克升米]|公里|千米|厘米|毫米|毫升|千克|毫克|微克|公斤|千瓦|毫摩尔|兆字节|小时"
    "|平方米|立方米|[天片帧票粒滴杯瓶盒支颗字页包])"
)
"""Pattern of a unit in Chinese that a slash and another unit may follow."""
RANGE = re.compile(rf"(?<=[0-9])(\s*{UNIT})\s*[-~–]\s*(?=[0-9])")
"""A unit between two numbers: 5km-6km."""
MEASURE = re.compile(
    re.sub(
        "(?<=[a-z])[23]",
        lambda m: f"[{m[0]}{'²³'[int(m[0]) - 2]}]",
        rf"(?:US|HK|NT)\$(?=\s?\d)|\d(?:\s?{UNIT}|[百千万亿]*{WORDED}/(?:{PART})(?![A-Za-z0-9]))",
    )
)
"""A unit with the last digit in front of it, or the letters of a currency: Latin letters that are no English words."""


def measure(m: re.Match[str]) -> str:
    """The match of a number (group `number`) and `UNIT` with the unit in Chinese: 5L/min is 5升每分钟."""
    if m["unit"]:
        return m["number"] + UNITS[m["unit"]]
    return f"{m['number']}{PARTS[m['part']]}每{'百' if m['hundred'] else ''}{PARTS[m['per']]}"
