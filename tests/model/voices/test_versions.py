"""The key of speech: a version for each part of the code that speaks, and nothing else of its source."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from voicemill.model.text import versions as text
from voicemill.model.voices import versions

ROOT = Path(__file__).resolve().parents[3]
OTHER = {
    *("speech/pronunciation.py", "speech/text_fit.py", "audio/fingerprint.py"),
    *("data/phones.py", "judging/testset/testset.py"),
}
"""Versions of stored files, of word times and of what is prepared: they change nothing that is heard."""
CONSTANTS = sorted(
    path.relative_to(ROOT / "model").as_posix()
    for path in (ROOT / "model").rglob("*.py")
    if re.search(r"^VERSION\b", path.read_text(encoding="utf-8"), re.MULTILINE)
)


def test_a_comment_changes_no_key(tmp_path: Path) -> None:
    """The key of a copy of the sources, before and after a comment in the Korean front end and in s1."""
    for folder in ("model", "storage", "voicemill"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))

    def key() -> str:
        code = "from voicemill.model.voices.versions import speech_key as key; print(key.__code__.co_filename, key())"
        actual = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
                               capture_output=True, text=True, check=True)  # fmt: skip
        path, key = actual.stdout.split()
        assert path.startswith(str(tmp_path))
        return key

    before = key()
    for name in ("text/korean.py", "s1/__init__.py"):
        with (tmp_path / "model" / name).open("a", encoding="utf-8") as file:
            file.write("# a comment\n")
    assert key() == before == versions.speech_key()
    path = tmp_path / "model" / "s1" / "__init__.py"
    path.write_text(path.read_text(encoding="utf-8").replace("VERSION = 1", "VERSION = 1000"), encoding="utf-8")
    assert key() != before


@pytest.mark.parametrize("file", [file for file in CONSTANTS if file not in OTHER])
def test_every_version_is_in_the_key(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions.speech_key(), versions.code_version()
    module = importlib.import_module(
        "voicemill.model." + file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    )
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert versions.speech_key() != before[0]
    assert versions.code_version() != before[1]


@pytest.mark.parametrize("part", text.VERSIONS)
def test_every_part_of_the_front_end_is_in_the_key_of_speech(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions.speech_key()
    monkeypatch.setattr(versions, "TEXT", dict(text.VERSIONS) | {part: text.VERSIONS[part] + 1})
    assert versions.speech_key() != before


def test_the_key_needs_no_torch() -> None:
    code = "import sys, voicemill.model.voices.versions as v; v.speech_key(); print('torch' in sys.modules)"
    actual = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert actual.stdout == "False\n"
