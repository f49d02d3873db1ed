"""Where a name still stands: the forms in which files hold it, and the files of a store and an inbox that do.

Prefect's database and our JSON hold text in several forms: as it is, with JSON's escapes (once, and once more inside a
JSON text), with Markdown's and HTML's, percent-encoded in addresses, composed or decomposed. All of them are looked for
as a word: `ann` is not found in `hannah`, and is found after the `n` of an escaped line end. In the pages of SQLite
values touch, so a name of four bytes or more is found there inside of words too, and the rows are read besides.
"""

import html
import json
import os
import re
import sqlite3
import unicodedata
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from voicemill.storage.store import Store

BLOCK = 1 << 22
"""Bytes that are searched at a time."""


def name_forms(name: str) -> frozenset[bytes]:
    """All forms of a name as bytes."""
    markdown = re.sub(r"([^\w\s])", r"\\\1", name.replace("_", r"\_"))
    texts = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")} | {markdown, html.escape(name)}
    forms: set[str] = set(texts)
    for text in texts:
        escaped = json.dumps(text)[1:-1]
        upper = re.sub(r"\\u[0-9a-f]{4}", lambda match: "\\u" + match[0][2:].upper(), escaped)
        forms |= {escaped, upper, json.dumps(escaped)[1:-1], json.dumps(upper)[1:-1]}
        forms |= {json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {
            urllib.parse.quote(text, errors="surrogatepass"),
            urllib.parse.quote_plus(text, errors="surrogatepass"),
        }
    return frozenset(form.encode("utf-8", "surrogatepass") for form in forms)


def name_pattern(name: str) -> re.Pattern[bytes]:
    """Pattern of a name as a word, in any of its forms."""
    forms = b"|".join(re.escape(form) for form in sorted(name_forms(name), key=len, reverse=True))
    return re.compile(rb"(?:(?<![0-9A-Za-z])|(?<=\\[nrtbf]))(?:" + forms + rb")(?![0-9A-Za-z])")


def loose_pattern(name: str) -> re.Pattern[bytes]:
    """Pattern of a name anywhere, for pages of a database; as a word, where it is short."""
    forms = name_forms(name)
    if min(map(len, forms)) < 4:
        return name_pattern(name)
    return re.compile(b"|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


def remaining_mentions(store: Store, speaker: str, inbox: Path | None) -> Iterator[str]:
    """Paths of the files that still hold the speaker's name; shards, stage outputs and audio are not looked at."""
    name, loose = name_pattern(speaker), loose_pattern(speaker)
    for path in _files(store.root):
        skipped = path.name.startswith("forgetting-") or path.suffix in (".parquet", ".arrow")
        pages = path.name.removesuffix("-wal").removesuffix("-journal").endswith((".db", ".sqlite"))
        if not skipped and (_holds(path, loose if pages else name) or (pages and _row_holds(path, name))):
            yield _shown(path, store.root)
    for path in _files(inbox) if inbox else ():
        if inbox and (name.search(os.fsencode(path.relative_to(inbox))) or (_is_text(path) and _holds(path, name))):
            yield f"inbox:{_shown(path, inbox)}"


def _files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() or path.is_symlink()]


def _shown(path: Path, root: Path) -> str:
    return os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")


def _is_text(path: Path) -> bool:
    """Whether a file may hold text: no zero byte at its start, as audio and archives have."""
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(4096)
    except OSError:
        return False


def _holds(path: Path, name: re.Pattern[bytes]) -> bool:
    """Whether a file holds the name; it is read in blocks that overlap."""
    overlap = len(name.pattern)  # more than its longest form
    try:
        with path.open("rb") as file:
            before = b""
            while block := file.read(BLOCK):
                if name.search(before + block):
                    return True
                before = block[-overlap:]
    except FileNotFoundError:  # a dangling link, or a log that was just rotated
        pass
    return False


def _row_holds(path: Path, name: re.Pattern[bytes]) -> bool:
    """Whether a value in a table of an SQLite database holds the name; False for a file that is none."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            quoted = table.decode().replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{quoted}"'):
                if any(isinstance(value, bytes) and name.search(value) for value in row):
                    return True
    return False
