"""Languages of folders: `languages.csv` at the inbox root, for recordings that come without metadata.

Columns `folder` and `language`: a top-level folder (a speaker) or one below it (`anna/podcast`), and a code or name of
its language. The nearest folder counts. Metadata of a file comes first, the setting `scan.default_language` last.
"""

import csv
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicemill.storage.inbox.languages import normalise_language
from voicemill.storage.inbox.listing import Problem, first_problems
from voicemill.storage.inbox.names import speaker_name

LANGUAGES = "languages.csv"
"""Name of the table at the inbox root."""


@dataclass(frozen=True)
class FolderLanguages:
    """Languages of the folders of an inbox."""

    by_folder: Mapping[str, str] = field(default_factory=dict)
    """Folder, relative to the inbox -> ISO 639-1 code."""
    problems: tuple[Problem, ...] = ()

    def of(self, path: str) -> str:
        """Language of the nearest listed folder of an upload; "" = none is listed."""
        folder = _key(posixpath.dirname(path))
        while folder:
            if folder in self.by_folder:
                return self.by_folder[folder]
            folder = posixpath.dirname(folder)
        return ""


def _key(folder: str) -> str:
    """Form in which folders are compared: each part as the name of a speaker is."""
    return "/".join(map(speaker_name, folder.split("/")))


def read_folder_languages(text: str) -> FolderLanguages:
    """Read the content of `languages.csv`; rows that cannot be used are problems, the first row of a folder counts."""
    by_folder: dict[str, str] = {}
    problems: list[Problem] = []
    rows = list(csv.reader(text.splitlines()))
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"folder", "language"} <= set(header):
        return FolderLanguages({}, (Problem(LANGUAGES, 1, "its header has no columns folder and language: not read"),))
    for line, cells in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        cell = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        folder = _key(posixpath.normpath(cell.get("folder", "").replace("\\", "/")).strip("/"))
        try:
            language = normalise_language(cell.get("language", ""))
        except ValueError as error:
            problems.append(Problem(LANGUAGES, line, f"{error}: the row is not used"))
            continue
        if folder in ("", ".") or by_folder.setdefault(folder, language) != language:
            reason = "no folder" if folder in ("", ".") else f"{folder!r} has a language already: the first row counts"
            problems.append(Problem(LANGUAGES, line, f"{reason}"))
    return FolderLanguages(by_folder, tuple(first_problems(LANGUAGES, problems)))
