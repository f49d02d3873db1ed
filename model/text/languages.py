"""Languages with a front end, and the libraries that the extras bring for some of them. Imports nothing heavy."""

import importlib
import importlib.util
from types import ModuleType

from voicemill.storage.errors import ConfigError

LANGUAGES = ("zh", "en", "ja", "ko", "yue")

EXTRAS = {"ja": ("pyopenjtalk", "pyopenjtalk-plus"), "yue": ("ToJyutping", "ToJyutping")}
"""Language -> module and distribution that the extra of the same name brings."""


def library(language: str) -> ModuleType:
    """The module of an extra, imported when its language is first used.

    Raises:
        ConfigError: its distribution is not installed; the message names the extra that brings it.
    """
    module, package = EXTRAS[language]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"language = {language!r} needs the package {package} ({error}). Run `pip install 'voicemill[{language}]'`"
        ) from error


def installed_languages() -> frozenset[str]:
    """Languages that can be read on this machine: all but those whose extra is missing. Imports no library."""
    missing = {language for language, (module, _) in EXTRAS.items() if importlib.util.find_spec(module) is None}
    return frozenset(LANGUAGES) - missing
