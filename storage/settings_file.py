"""Settings: frozen pydantic models, and the one way to read them from a TOML file."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from voicemill.storage.errors import ConfigError


class FrozenSettings(BaseModel):
    """Base of all settings: frozen; unknown names are refused; the line under each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


MOST_BYTES = 2**20
"""Largest config; that of all settings with their help has 30 kB."""

MOST_LEVELS = 20
"""Levels of nested tables; settings have four."""
MOST_DOTS = 200
"""Dots of a line: the time for a dotted key grows with the square of its parts, 100,000 take minutes."""

S = TypeVar("S", bound=FrozenSettings)


def load_settings(settings: type[S], config: Path | str, shipped: Path, command: str) -> S:
    """Return the settings of a shipped config, by its name, or of a TOML file. Missing settings keep their defaults.

    Args:
        config: name of a file `<shipped>/<name>.toml`, which comes first, or a path.
        shipped: folder of the configs that come with the program.
        command: the command that prints all settings; errors quote it.

    Raises:
        ConfigError: there is no such config, it is not TOML, a setting is unknown, or a value is out of range. All
            wrong settings are listed, each with its value.
    """
    names = sorted(file.stem for file in shipped.glob("*.toml"))
    path = shipped / f"{config}.toml" if str(config) in names else Path(config).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"no config {str(config)!r}: {path.absolute()} is not a file, and the shipped configs are "
            f"{', '.join(names)}; `{command}` lists all settings"
        )
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ConfigError(f"{path} has {size:,} bytes; a config has at most {MOST_BYTES:,}: `{command}` prints one")
    try:
        text = path.read_text("utf-8")
        dotted = any(line.count(".") > MOST_DOTS for line in text.splitlines() if not line.lstrip().startswith("#"))
        if dotted or _too_deep(
            raw := tomllib.loads(text)
        ):  # checked here, because pydantic ends the process on a dictionary of 100,000 levels
            raise RecursionError
        return settings.model_validate(raw)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path} is nested too deep for a config: `{command}` prints one") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'config'} = {e['input']!r}: {e['msg']}" for e in error.errors()]
        count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
        raise ConfigError("\n".join([f"{path}: {count} wrong:", *lines, f"`{command}` lists all settings"])) from None


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, dict) else part if isinstance(part, list) else ())
        ]
    return bool(level)
