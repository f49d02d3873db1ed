"""Versions of the text front end: what phones, and all that is keyed by them, depend on beside the text."""

from collections.abc import Mapping
from types import MappingProxyType

VERSIONS: Mapping[str, int] = MappingProxyType(
    {"frontend": 1, "sentences": 1, "bert": 1, "zh": 1, "en": 1, "ja": 1, "ko": 1, "yue": 1}
)
"""Part of the front end -> its version, which changes when the same text gives other phones (a language; `frontend`:
the runs of languages in a text), other pieces (`sentences`) or other features (`bert`)."""
