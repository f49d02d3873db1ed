"""Versions of the front end: one for each language, and phones that change only together with their version."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from voicemill.model.text import versions
from voicemill.model.text.frontend import phonemes
from voicemill.model.text.languages import EXTRAS, LANGUAGES, installed_languages
from voicemill.model.text.versions import VERSIONS
from voicemill.storage.keys import digest


def texts(table: str) -> list[str]:
    """Texts of a table of sentences beside this file."""
    groups = runpy.run_path(str(Path(__file__).with_name(f"{table}.py")))["SENTENCES"]
    return [case[0] for group in groups.values() for case in group]


TEXTS = {
    "en": texts("english_sentences"),
    "zh": texts("chinese_sentences"),
    "ko": ["저는 Google에서 왔어요!", "사과 3개를 12,000원에 샀다.", "같이 읽고 좋아하는 대통령", "2024년 10월 6일"],
}
PINNED = {
    ("en", 1): "34b7476b41528778",
    ("zh", 1): "42a1b382a10074fb",
    ("en", 2): "34b7476b41528778",
    ("zh", 2): "1a6ee38275c1655c",
    ("en", 3): "34b7476b41528778",
    ("zh", 3): "1a6ee38275c1655c",
    ("ko", 1): "f9f8d8367a34d9a9",
}
"""Language and version -> digest of the phones of `TEXTS`."""


@pytest.mark.parametrize("language", TEXTS)
def test_phones_change_only_with_their_version(language: str) -> None:
    """Fails where phones changed: raise the entry of the language in `versions.py: VERSIONS`, and pin it here."""
    phones = [phonemes(text, language).phones for text in TEXTS[language]]
    assert {(language, VERSIONS[language]): digest(phones)[:16]}.items() <= PINNED.items()


def test_every_language_has_a_version() -> None:
    assert {"frontend", *LANGUAGES} <= set(VERSIONS)
    assert all(number >= 1 for number in VERSIONS.values())


def test_the_key_of_phones_follows_what_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions.phones_version()
    for part in VERSIONS:
        with monkeypatch.context() as changed:
            changed.setattr(versions, "VERSIONS", {**VERSIONS, part: VERSIONS[part] + 1})
            assert (versions.phones_version() != before) is (part not in ("sentences", "bert"))
    monkeypatch.setattr(versions, "_installed", lambda package: "0")
    assert versions.phones_version() != before


def test_a_language_whose_extra_is_missing_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"zh", "en", "ko"} <= installed_languages() <= set(LANGUAGES)
    for module, _ in EXTRAS.values():
        monkeypatch.setitem(sys.modules, module, None)
    assert installed_languages() == {"zh", "en", "ko"}


def test_versions_and_the_front_end_import_nothing_heavy() -> None:
    code = (
        "import sys; from voicemill.model.text import frontend, versions, written; versions.phones_version(); "
        "print(sorted({'numpy', 'torch', 'pypinyin', 'rjieba'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
