"""Settings: frozen pydantic models, and the one way to read them from a TOML file."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from voicemill.storage.errors import ConfigError


class FrozenSettings(BaseModel):
    """Base of all settings: frozen; unknown names are refused; the line under each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


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
    try:
        return settings.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'config'} = {e['input']!r}: {e['msg']}" for e in error.errors()]
        count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
        raise ConfigError("\n".join([f"{path}: {count} wrong:", *lines, f"`{command}` lists all settings"])) from None
