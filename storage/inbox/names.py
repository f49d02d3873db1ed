"""Names: one form of every speaker's name, names that are nearly equal, and the file that a written path means.

A speaker's name is compared in one form everywhere: NFC, without format characters (Unicode category Cf), each run of
white space as one space; case is kept. Names that differ in case or compatibility form only are near-equal: they stay
two speakers, but a "no" of one holds the other. A "no" of a name that nobody in the inbox has holds those who have its
letters: without accents, punctuation, white space and leading zeros. A path means the file of exactly that path, else
the one in another Unicode form, else the one in another case, and the latter two only where there is one alone.
Sources: Unicode Standard Annex 15 (normalisation forms), Unicode Standard 3.13, D146 (NFKC_Casefold).
"""

import difflib
import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from urllib.parse import unquote

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Characters without a glyph outside the category Cf: joiners of graphemes, fillers, variation selectors."""


@lru_cache(maxsize=1 << 16)
def speaker_name(text: str) -> str:
    """The name of a speaker in the form in which names are compared and stored; "" = it has no visible character."""
    if not text.isascii():
        visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
        text = unicodedata.normalize("NFC", visible)
    return " ".join(text.split())


@lru_cache(maxsize=1 << 16)
def folded(name: str) -> str:
    """Key that near-equal names share: without case and compatibility forms."""
    if not name.isascii():
        name = _INVISIBLE.sub("", unicodedata.normalize("NFD", name)).casefold()
        name = unicodedata.normalize("NFKC", name)
    return speaker_name(name.casefold())


_ACCENTS = re.compile("[\u0300-\u036f]")
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһкмтнвοανικρτυχγıøłđðæœ", "aeopcyxijsdhkmthboavikptuxyiolddao")
"""Letters of Cyrillic and Greek that look like Latin ones, and Latin ones without a decomposition."""
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe"})


@lru_cache(maxsize=1 << 16)
def letters_of(name: str) -> frozenset[str]:
    """Letters and digits of the ways in which people and programs write one name: `Smith, Anna`, `anna_smith`, `./007`.

    Without case, accents, punctuation, white space, and the escapes of HTML and addresses; the last part of a path;
    digits without leading zeros and without the `.0` that a table of numbers adds; ä as a and as ae. Empty where the
    name has neither letter nor digit.
    """
    name = html.unescape(unquote(name))
    last = next((part for part in reversed(re.split(r"[/\\]", name)) if re.search(r"\w", part)), "")
    last = re.sub(r"^\s*(\d+)\.0+\s*$", r"\1", last)
    first, comma, rest = last.partition(",")
    orders = [last, f"{rest} {first}"] if comma else [last]
    keys = set()
    for text in map(folded, orders):
        whole = unicodedata.normalize("NFC", text)
        for written in (whole, whole.translate(_WRITTEN_OUT)):
            plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", written)).translate(_LOOKALIKES)
            plain = re.sub(r"(?<!\d)0+(?=\d)", "", plain)
            keys.add("".join(char for char in plain if char.isalnum() or unicodedata.category(char)[0] == "M"))
    return frozenset(keys - {""})


def near_keys(name: str, *, by_letters: bool) -> set[str]:
    """Keys of which near-equal names share one; `by_letters`: also names of the same letters and digits."""
    return {folded(name), *(f" {key}" for key in letters_of(name) if by_letters)}


_ALL = "* all any everyone everybody alle tous todos 所有人 全部 全体 все"
_EVERYONE = frozenset(_ALL.split())
_AND = re.compile(r"\s*[,;&/+|、]\s*|\s+(?:and|und|et|y|e|和)\s+", re.IGNORECASE)


def names_in(cell: str) -> list[str]:
    """Names that a cell lists (`anna, bob`, `anna & bob`); [] where it holds one name."""
    parts = [name for part in _AND.split(cell) if (name := speaker_name(part))]
    return parts if len(parts) > 1 else []


def means_everyone(name: str) -> bool:
    """Whether a word in the place of a name means all speakers."""
    return folded(name) in _EVERYONE


def one_edit_apart(one: str, other: str) -> bool:
    """Whether one character more, less or other makes one folded name of the other; a digit is an id, no slip."""
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    changed = {"sub": (a[:1], b[:1]), "del": (a[:1],), "ins": (b[:1],)}
    edits = (("sub", a[1:] == b[1:] and len(a) == len(b)), ("del", a[1:] == b), ("ins", a == b[1:]))
    return a != b and any(holds and not any(char.isdigit() for char in changed[kind]) for kind, holds in edits)


class Slips:
    """Index of names by which those of which a name may be a slip are found without comparing all pairs."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, set[str]] = defaultdict(set)
        for name in names:
            for variant in _variants(folded(name)):
                self._names[variant].add(name)

    def of(self, name: str) -> list[str]:
        """Other names that are near-equal to this one or one edit apart from it, sorted."""
        key = folded(name)
        candidates = {other for variant in _variants(key) for other in self._names.get(variant, ())} - {name}
        return sorted(other for other in candidates if (fold := folded(other)) == key or one_edit_apart(key, fold))


def _variants(key: str) -> set[str]:
    return {key, *(key[:at] + key[at + 1 :] for at in range(len(key)))}


def nearest(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The most similar of these names, best first, to offer for one that nobody has."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for other in sorted(set(names)):
        by_key[folded(other)].append(other)
    key = folded(name)
    close = difflib.get_close_matches(key, by_key, n=most, cutoff=0.6)
    parts = [other for other in by_key if other not in close and len(key) > 1 and (key in other or other in key)]
    return [other for match in (*close, *parts) for other in by_key[match]][:most]


def offer(name: str, names: Iterable[str]) -> str:
    """Phrase for messages that offers the nearest names; "" = none is near."""
    near = nearest(name, names)
    return f"; nearest: {', '.join(map(repr, near))}" if near else ""


# -- paths


@lru_cache(maxsize=1 << 16)
def composed(path: str) -> str:
    """Path in the Unicode form NFC."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


@lru_cache(maxsize=1 << 16)
def caseless(path: str) -> str:
    """Key that paths share which differ in case or Unicode form only."""
    return path.lower() if path.isascii() else composed(unicodedata.normalize("NFD", path).casefold())


_LEVELS: tuple[Callable[[str], str], ...] = (str, composed, caseless)
"""Comparisons of paths, the first one that finds something counts."""


class Places:
    """Files by the paths under which others name them."""

    def __init__(self, paths: Iterable[tuple[str, str]]) -> None:
        """`paths`: path as it may be named, and the file that it stands for."""
        self._files = dict(paths)

    @cached_property
    def _similar(self) -> list[dict[str, list[str]]]:
        levels: list[dict[str, list[str]]] = []
        for key in _LEVELS[1:]:
            groups = defaultdict(list)
            for name, file in self._files.items():
                groups[key(name)].append(file)
            levels.append(groups)
        return levels

    def find(self, *names: str) -> list[str]:
        """Files that a row with these readings of its path may mean: one, none, or several between which it is open."""
        if exact := next((self._files[name] for name in names if name in self._files), None):
            return [exact]
        for key, groups in zip(_LEVELS[1:], self._similar, strict=True):
            for name in names:
                if files := groups.get(key(name)):
                    return files
        return []


@dataclass
class Beside:
    """Files of one ending beside recordings, by the stem (path without extension) that they share with one."""

    own: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Stem of a recording -> how exactly the names agree (0 = to the character), and path of the file."""
    unclear: dict[str, list[str]] = field(default_factory=dict)
    """Path of a file that belongs to no recording for certain -> stems of those that it may belong to."""

    def all_of(self, stem: str) -> Iterator[str]:
        """Every file that belongs, or may belong, to the recordings of this stem."""
        if stem in self.own:
            yield self.own[stem][1]
        yield from (path for path, stems in self.unclear.items() if stem in stems)


def beside(stems: Iterable[str], paths: Iterable[str], ending: str) -> Beside:
    """Files with this ending, in any case, in the folder of a recording and of its name.

    A name in another Unicode form or another case counts where one recording and one file of the folder share it alone.
    """
    recordings = set(stems)
    files: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        if path.lower().endswith(ending):
            files[path[: -len(ending)]].append(path)
    result = Beside()
    for stem, same in files.items():
        if stem in recordings:
            _settle(result, stem, same, ending, 0)
    rest = {stem for stem in files if stem not in recordings}
    for number, key in enumerate(_LEVELS[1:], 1):
        if not rest:
            break
        owners, others = _by_key(recordings, key), _by_key(files, key)
        for match in {_key_in_folder(stem, key) for stem in rest} & owners.keys():
            if len(owners[match]) == len(others[match]) == 1:
                _settle(result, owners[match][0], files[others[match][0]], ending, number)
                rest.discard(others[match][0])
    owners = _by_key(recordings, caseless) if rest else {}
    for stem in rest:
        if near := owners.get(_key_in_folder(stem, caseless)):
            result.unclear |= dict.fromkeys(files[stem], near)
    return result


def _settle(result: Beside, stem: str, same: list[str], ending: str, level: int) -> None:
    """Take the file whose ending is in small letters, or the only one; others of the same stem stay unclear."""
    chosen = next((path for path in same if path.endswith(ending)), same[0] if len(same) == 1 else None)
    if chosen is not None:
        result.own[stem] = (level, chosen)
    result.unclear |= {path: [stem] for path in same if path != chosen}


def _by_key(stems: Iterable[str], key: Callable[[str], str]) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for stem in sorted(stems):
        groups[_key_in_folder(stem, key)].append(stem)
    return groups


def _key_in_folder(stem: str, key: Callable[[str], str]) -> tuple[str, str]:
    folder, _, name = stem.rpartition("/")
    return folder, key(name)
