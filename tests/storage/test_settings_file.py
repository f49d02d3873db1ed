"""Settings from TOML files: shipped ones by name, own ones by path, and what is wrong with either."""

import re
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from voicemill.storage.errors import ConfigError
from voicemill.storage.settings_file import FrozenSettings, load_settings


class Inner(FrozenSettings):
    share: float = Field(0.5, ge=0, le=1)
    """Share of something."""


class Outer(FrozenSettings):
    inner: Inner = Inner()
    name: str = "a"


def load(config: str, tmp_path: Path) -> Outer:
    return load_settings(Outer, config, tmp_path / "shipped", "voicemill config show")


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "default.toml").write_text("", encoding="utf-8")
    (tmp_path / "shipped" / "small.toml").write_text('name = "small"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_a_shipped_config_comes_before_a_file_of_its_name(tmp_path: Path) -> None:
    Path("small").write_text('name = "own"\n', encoding="utf-8")
    assert load("small", tmp_path).name == "small"
    assert load("./small", tmp_path).name == "own"


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    Path("own.toml").write_text("[inner]\nshare = 0.25\n", encoding="utf-8")
    assert load("own.toml", tmp_path) == Outer(inner=Inner(share=0.25))


def test_a_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("own.toml").write_text('name = "b"\n', encoding="utf-8")
    assert load("~/own.toml", tmp_path).name == "b"


def test_a_missing_config_names_the_path_the_shipped_ones_and_the_command(tmp_path: Path) -> None:
    expected = (
        f"no config 'huge': {tmp_path / 'huge'} is not a file, and the shipped configs are default, small; "
        "`voicemill config show` lists all settings"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        load("huge", tmp_path)


@pytest.mark.parametrize("raw", [b"name =", b"name = '\xff'"])
def test_what_is_not_toml_is_refused(raw: bytes, tmp_path: Path) -> None:
    Path("own.toml").write_bytes(raw)
    with pytest.raises(ConfigError, match=r"own\.toml is not TOML: "):
        load("own.toml", tmp_path)


def test_every_wrong_setting_is_listed_with_its_value(tmp_path: Path) -> None:
    Path("own.toml").write_text('colour = "red"\n[inner]\nshare = 2\n', encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load("own.toml", tmp_path)
    assert str(refused.value).splitlines() == [
        "own.toml: 2 settings are wrong:",
        "  inner.share = 2: Input should be less than or equal to 1",
        "  colour = 'red': Extra inputs are not permitted",
        "`voicemill config show` lists all settings",
    ]


def test_settings_are_frozen_and_carry_their_help() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner().share = 0.1
    assert Inner.model_fields["share"].description == "Share of something."


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "{a = " * 100_000, "a" + ".a" * 100_000 + " = 1"],
    ids=["lists", "tables", "dots"],
)
def test_a_config_nested_too_deep(tmp_path: Path, text: str) -> None:
    Path("deep.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"deep\.toml.*`voicemill config show` prints one"):
        load("deep.toml", tmp_path)


def test_a_config_of_a_megabyte(tmp_path: Path) -> None:
    Path("large.toml").write_text("# x\n" * 300_000, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"large\.toml has 1,200,000 bytes; a config has at most 1,048,576"):
        load("large.toml", tmp_path)
