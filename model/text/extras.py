"""Libraries of languages that not everybody needs: imported when the language is first used."""

import importlib
from types import ModuleType

from voicemill.storage.errors import ConfigError


def library(module: str, language: str, package: str) -> ModuleType:
    """The module that reads `language`.

    Raises:
        ConfigError: `package` is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"language = {language!r} needs the package {package} ({error}). Run `pip install 'voicemill[{language}]'`"
        ) from error
