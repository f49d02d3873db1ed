"""Normalisation of language codes and names to ISO 639-1 (639-3 where there is no two-letter code, as yue)."""

import re

_ALIASES = {
    "zh": "zho chi cmn cn chinese mandarin putonghua zh-cn",
    "en": "eng english",
    "de": "deu ger german deutsch",
    "ja": "jpn jp japanese",
    "ko": "kor korean",
    "yue": "cantonese",
    "fr": "fra fre french",
    "es": "spa spanish",
    "it": "ita italian",
    "pt": "por portuguese",
    "nl": "nld dut dutch",
    "ru": "rus russian",
    "ar": "ara arb arabic",
    "sv": "swe swedish",
    "da": "dan danish",
    "nb": "nob",
    "no": "nor norwegian",
    "fi": "fin finnish",
    "pl": "pol polish",
    "cs": "ces cze czech",
    "uk": "ukr ukrainian",
    "tr": "tur turkish",
    "hi": "hin hindi",
    "vi": "vie vietnamese",
    "th": "tha thai",
    "id": "ind indonesian",
    "el": "ell gre greek",
    "he": "heb iw hebrew",
    "hu": "hun hungarian",
    "ro": "ron rum romanian",
    "ca": "cat catalan",
    "fa": "fas per persian farsi",
}
_CODES = {alias: code for code, aliases in _ALIASES.items() for alias in aliases.split()}

_UNKNOWN = frozenset({"", "und", "mul", "zxx", "mis", "unknown", "auto", "none", "n/a"})

_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")


def normalise_language(language: str) -> str:
    """Code of a language: "EN", "en-US", "english" and "eng" give "en", "zh-CN" and "cmn" give "zh".

    "" where the language is not stated ("und") or several are ("en+zh"): then it has to be detected.

    Raises:
        ValueError: the text is no language code or name.
    """
    tag = language.strip().lower().replace("_", "-")
    if tag in _UNKNOWN:
        return ""
    parts = re.split(r"[+,;/ ]+", tag)
    if len(parts) > 1 and all(_known(part) for part in parts):
        return ""
    if not _known(tag):
        raise ValueError(f"{language!r} is not a language code: ISO 639 is expected, as en, zh or de")
    if tag.startswith("zh-yue"):
        return "yue"
    return _CODES.get(tag) or _CODES.get(tag.split("-")[0]) or tag.split("-")[0]


def _known(tag: str) -> bool:
    return tag in _CODES or _TAG.fullmatch(tag) is not None
