"""Where the weights of the F0 engines lie: found without importing an engine.

Content keys need the digest of the weights, and a refresh that finds nothing new should not wait two seconds for torch.
"""

import importlib.util
from pathlib import Path

from voicemill.storage.errors import ConfigError

_FILES = {"swift": ("swift_f0", "model.onnx"), "fcpe": ("torchfcpe", "assets/fcpe_c_v001.pt")}
"""Engine -> package, and the file in it."""


def model_file(engine: str) -> Path | None:
    """The file with an engine's weights; None for engines that have none.

    Raises:
        ConfigError: its package is not installed.
    """
    if engine not in _FILES:
        return None
    package, name = _FILES[engine]
    return folder_of(engine, package) / name


def folder_of(engine: str, package: str) -> Path:
    """The folder of an engine's package, which stays unloaded.

    Raises:
        ConfigError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise not_installed(engine, package)
    return Path(spec.submodule_search_locations[0])


def not_installed(engine: str, package: str) -> ConfigError:
    """The error for an engine whose package is not in this environment."""
    return ConfigError(
        f"f0.engine = {engine!r} needs {package}, which is not installed: pip install 'voicemill[compare]', "
        "or choose swift, autocorrelation or pyin"
    )
