"""Units behind a number in English text, alone (5 kg) and with a slash (100 km/h), and their plurals."""

import re

from voicemill.model.text.english.numbers import plural

UNITS = {
    "km/h": "kilometer per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour", "mph": "mile per hour",
    "m/s": "meter per second", "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer",
    "m": "meter", "mi": "mile", "ft": "foot", "yd": "yard", "kg": "kilogram", "mg": "milligram", "g": "gram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter", "m³": "cubic meter",
    "sq ft": "square foot", "ft²": "square foot", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz",
    "GHz": "gigahertz", "B": "byte", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour", "V": "volt",
    "mAh": "milliamp hour", "s": "second", "sec": "second", "secs": "second", "ms": "millisecond", "min": "minute",
    "mins": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "yr": "year", "yrs": "year", "dB": "decibel",
    "°C": "degree celsius", "°F": "degree fahrenheit", "°": "degree", "kcal": "kilocalorie", "cal": "calorie",
    "kPa": "kilopascal", "Pa": "pascal", "px": "pixel", "dpi": "dot per inch", "fps": "frame per second",
    "rpm": "revolution per minute", "N": "newton", "ha": "hectare", "pt": "point", "in": "inch",
    "cm³": "cubic centimeter", "μm": "micrometer", "μg": "microgram", "μs": "microsecond", "μL": "microliter",
    "ns": "nanosecond", "Ω": "ohm", "kΩ": "kilohm", "MΩ": "megohm", "mV": "millivolt", "kV": "kilovolt",
    "mA": "milliamp", "mW": "milliwatt", "MPa": "megapascal", "mmHg": "millimeter of mercury",
    "bpm": "beat per minute", "bps": "basis point",
    "USD": "U S dollar", "EUR": "euro", "GBP": "pound", "JPY": "yen", "CNY": "yuan",
    "RMB": "yuan", "KM": "kilometer", "KG": "kilogram",
}  # fmt: skip
PARTS = UNITS | {
    "s²": "second squared", "dL": "deciliter", "dl": "deciliter", "mol": "mole", "mmol": "millimole",
    "μmol": "micromole", "Mb": "megabit", "Gb": "gigabit", "kb": "kilobit", "J": "joule", "kJ": "kilojoule",
    "A": "amp", "K": "kelvin", "r": "revolution", "day": "day", "d": "day", "week": "week", "month": "month",
    "year": "year", "hour": "hour", "IU": "international unit", "rev": "revolution", "100km": "hundred kilometers",
    "100 km": "hundred kilometers",
}  # fmt: skip
"""Units on either side of a slash."""
AMBIGUOUS = frozenset({"in", "B", "N", "V", "W", "s", "pt", "m", "h", "g", "cal", "ha", "L", "l"})
"""Units that are also words or names: read only without a space after the number (16B), the letters `mghlLVW` also with
one (5 m)."""
UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
PART = "|".join(re.escape(unit) for unit in sorted(PARTS, key=len, reverse=True))


def many(unit: str) -> str:
    """Plural of a unit: "mile per hour" -> "miles per hour", "foot" -> "feet", "hertz" -> "hertz"."""
    head, *tail = re.split(r"(?= per | of | hour$| celsius| fahrenheit)", unit, maxsplit=1)
    if head.endswith("foot"):
        head = head[:-4] + "feet"
    elif head.endswith(("kilowatt", "milliamp")) and tail:
        tail = [plural(tail[0])]
    elif not head.endswith(("hertz", "yen", "yuan")):
        head = plural(head)
    return head + "".join(tail)
