"""Embedded models: pinned, refused when a byte differs, described, and never imported."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from voicemill.model.embedded import EMBEDDED, SPEAKER, model_of
from voicemill.storage.errors import ModelMissing


@pytest.mark.parametrize("model", EMBEDDED.values(), ids=list(EMBEDDED))
def test_the_installed_files_are_the_pinned_ones(model):
    assert model.is_installed
    paths = [model.path(name) for name in model.files]
    assert sum(path.stat().st_size for path in paths) == model.size


def test_another_byte_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "resemblyzer"
    folder.mkdir()
    (folder / "__init__.py").touch()  # without it the installed package comes first
    file = Path(shutil.copy(SPEAKER.path("pretrained.pt"), folder))
    monkeypatch.syspath_prepend(tmp_path)
    assert SPEAKER.path("pretrained.pt") == file
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        last = opened.read(1)
        opened.seek(-1, 2)
        opened.write(bytes([last[0] ^ 1]))
    with pytest.raises(ModelMissing, match=r"sha256 is .*, expected .*pip install"):
        SPEAKER.path("pretrained.pt")
    file.unlink()
    with pytest.raises(ModelMissing, match="missing; looked in"):
        SPEAKER.path("pretrained.pt")
    assert not SPEAKER.is_installed


def test_an_absent_wheel_is_named_with_what_mends_it():
    absent = replace(SPEAKER, package="no_such_package")
    assert not absent.is_installed
    with pytest.raises(ModelMissing, match=r"resemblyzer==0.1.4 is not installed. Run `pip install"):
        absent.path("pretrained.pt")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelMissing, match=r"speaker.model = 'embedded:nobody'.*embedded:ge2e"):
        model_of("embedded:nobody", "speaker.model")
    assert model_of("embedded:ge2e", "speaker.model") is SPEAKER


def test_nothing_of_the_wheels_is_imported():
    code = (
        "import sys; from voicemill.model.embedded import EMBEDDED; "
        "[model.path(name) for model in EMBEDDED.values() for name in model.files]; "
        "print([model.package for model in EMBEDDED.values() if model.package in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
