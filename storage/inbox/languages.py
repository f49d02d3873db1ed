"""Languages: their codes and names as ISO 639-1 (639-3 where there is no two-letter code, as yue), and `languages.csv`.

The table at the inbox root states the languages of folders, for recordings that come without metadata. Columns `folder`
and `language`: a top-level folder (a speaker) or one below it (`anna/podcast`), and a code or name of its language. The
nearest folder counts. Metadata of a file comes first, the setting `scan.default_language` last. Any encoding and any of
four separators, one row a line.
"""

import csv
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from voicemill.storage.inbox.decoding import Decoded, cells_of, decode_table, header_of, lines_of
from voicemill.storage.inbox.listing import Problem, first_problems
from voicemill.storage.inbox.names import Places, speaker_name

LANGUAGES = "languages.csv"
"""Name of the table at the inbox root."""

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


# -- languages in names of files

_TAGGED = re.compile(
    r"(?P<stem>.+?)\.(?P<tag>[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*|[A-Za-z]{4,12})"
    r"(?P<kind>(?:[._-](?:sdh|cc|hi|auto|orig|full|forced))*)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TaggedFile:
    """A transcript with a language in its name, beside a recording: `a.en.vtt` of `a.wav`."""

    path: str
    language: str
    """ISO 639-1 code."""
    partial: bool
    """Whether its name says that it has only what is in another language (`forced`)."""
    ending: str
    """End of its name behind that of the recording, in small letters: `.en.vtt`."""


def tagged_files(stems: Iterable[str], paths: Iterable[str], endings: Sequence[str]) -> dict[str, list[TaggedFile]]:
    """Stem of a recording -> transcripts with a language in their names, sorted: those meant for it are among them.

    The rest of the name is that of the recording exactly, else in another Unicode form or case where that is unique. A
    word that is no language ends no name: `talk.one.txt` is not a transcript of `talk.wav`.
    """
    recordings = set(stems)
    places = Places((stem, stem) for stem in recordings)
    found: dict[str, list[TaggedFile]] = {}
    for path in sorted(paths):
        ending = next((ending for ending in endings if path.lower().endswith(ending)), "")
        folder, slash, name = path[: len(path) - len(ending)].rpartition("/")
        match = _TAGGED.fullmatch(name) if ending and f"{folder}{slash}{name}" not in recordings else None
        if match is None or not (language := _language_of_tag(match["tag"])):
            continue
        if len(owners := places.find(f"{folder}{slash}{match['stem']}")) == 1:
            partial, after = "forced" in match["kind"].lower(), name[len(match["stem"]) :]
            found.setdefault(owners[0], []).append(TaggedFile(path, language, partial, f"{after}{ending}".lower()))
    return found


def _language_of_tag(tag: str) -> str:
    """Code of a language in a name of a file; "" = the word is no language that is known."""
    tag = tag.lower().replace("_", "-")
    first = tag.split("-")[0]
    known = tag in _CODES or first in _CODES or first in _ALIASES
    return normalise_language(tag) if known else ""


# -- languages.csv


@dataclass(frozen=True)
class FolderLanguages:
    """Languages of the folders of an inbox."""

    by_folder: Mapping[str, str] = field(default_factory=dict)
    """Folder, relative to the inbox -> ISO 639-1 code."""
    problems: tuple[Problem, ...] = ()

    def of(self, path: str) -> str:
        """Language of the nearest listed folder of an upload; "" = none is listed."""
        folder = folder_key(posixpath.dirname(path))
        while folder:
            if folder in self.by_folder:
                return self.by_folder[folder]
            folder = posixpath.dirname(folder)
        return ""


def folder_key(folder: str) -> str:
    """Form in which folders are compared: each part as the name of a speaker is; "" = none, or the inbox itself."""
    path = posixpath.normpath(folder.strip().replace("\\", "/")).strip("/")
    return "" if path == "." else "/".join(map(speaker_name, path.split("/")))


def folder_rows(content: str | bytes, names: Collection[str] = ()) -> Iterator[tuple[int, str, str]]:
    """Line, folder and language of each row of `languages.csv`, as they are written.

    Args:
        names: folders that are there: evidence for its encoding.

    Raises:
        ValueError: no encoding fits, the header lacks a column, or a quote is open at the end of a line.
    """

    def known(text: str) -> int:
        return sum(name in text for name in names if not name.isascii())

    decoded = Decoded(content, "utf-8") if isinstance(content, str) else decode_table(content, known)
    lines = lines_of(decoded.text)
    if (header := header_of(lines, ("folder", "language"))) is None:
        raise ValueError("its header has no columns folder and language: not read")
    start, separator, names = header
    for number, line in enumerate(lines[start + 1 :], start + 2):
        try:
            cell = dict(zip(names, cells_of(line, separator), strict=False))
        except csv.Error as error:
            raise ValueError(f"line {number}: {error}") from error
        if any(text.strip() for text in cell.values()):
            yield number, cell.get("folder", ""), cell.get("language", "").strip()


def read_folder_languages(content: str | bytes, names: Collection[str] = ()) -> FolderLanguages:
    """Read the content of `languages.csv`; rows that cannot be used are problems, the first row of a folder counts."""
    by_folder: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        for line, name, code in folder_rows(content, names):
            folder = folder_key(name)
            try:
                language = normalise_language(code)
            except ValueError as error:
                problems.append(Problem(LANGUAGES, line, f"{error}: the row is not used"))
                continue
            if not folder or by_folder.setdefault(folder, language) != language:
                reason = f"{folder!r} has a language already: the first row counts" if folder else "no folder"
                problems.append(Problem(LANGUAGES, line, reason))
    except ValueError as error:
        return FolderLanguages({}, (Problem(LANGUAGES, 0, f"{error}: it states no language"),))
    return FolderLanguages(by_folder, tuple(first_problems(LANGUAGES, problems)))
