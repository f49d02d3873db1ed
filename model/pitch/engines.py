"""F0 of speech on a 10 ms grid: the engines behind one interface, in one table.

`track` of every engine maps waves (float32 [samples], 32 kHz) to F0 (float32 [samples // 320], Hz, 0 = unvoiced) on the
grid of `voicemill.model.pitch.grid`. Settings, weights and extras are read from `ENGINES`; a new engine is a class and
a line there. `tests/bench/f0.py` compares them. Importing this module loads no engine: content keys need the digest of
the weights, and a refresh that finds nothing new should not wait two seconds for torch.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from voicemill.storage.errors import ConfigError
from voicemill.storage.units import Hertz

if TYPE_CHECKING:
    from voicemill.model.pitch.grid import F0
    from voicemill.storage.corpus.artifacts import Wave

Precision = Literal["auto", "float32", "bfloat16", "int8"]


class Tracker(Protocol):
    """An F0 engine."""

    def track(self, waves: "Sequence[Wave]") -> "list[F0]":
        """F0 of each wave, independent of the other waves of the call."""
        ...


@dataclass(frozen=True)
class Engine:
    """An engine as the settings name it."""

    tracker: str
    """Module of this package and class, as `pyin.Pyin`."""
    package: str = ""
    """Package that brings the engine, "" for our own."""
    weights: str = ""
    """File with the weights, relative to the package's folder; "" for an engine without weights."""
    extra: str = ""
    """Extra of voicemill that installs the package, "" where voicemill itself does."""
    takes_threshold: bool = True
    """Whether voicing is decided by a threshold on a confidence."""
    takes_precision: bool = False
    """Whether it is a network that torch runs in a dtype of choice."""


ENGINES: dict[str, Engine] = {
    "swift": Engine("swift.SwiftF0", "swift_f0", "model.onnx", takes_precision=True),
    "autocorrelation": Engine("autocorrelation.Autocorrelation"),
    "pyin": Engine("pyin.Pyin", "librosa", takes_threshold=False),
    "harvest": Engine("optional.Harvest", "pyworld", extra="compare", takes_threshold=False),
    "dio": Engine("optional.Dio", "pyworld", extra="compare", takes_threshold=False),
    "fcpe": Engine("optional.Fcpe", "torchfcpe", "assets/fcpe_c_v001.pt", extra="compare"),
}

if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]
    """Type of the settings that choose an engine: pydantic refuses other names and lists these."""


def tracker(
    engine: str, fmin: Hertz, fmax: Hertz, threshold: float | None = None, precision: Precision = "auto"
) -> Tracker:
    """The engine of that name; `threshold` None keeps the engine's own.

    `precision`: "auto" is int8 where the CPU multiplies bytes (VNNI), else bfloat16 where it is faster than float32.
    Engines without a threshold or precision ignore it.

    Raises:
        ConfigError: no such engine, its package is not installed, or the machine does not multiply int8.
    """
    if engine not in ENGINES:
        raise ConfigError(f"f0.engine = {engine!r}: choose one of {', '.join(ENGINES)}")
    chosen = ENGINES[engine]
    if chosen.package:
        package_folder(engine)
    module, name = chosen.tracker.split(".")
    own: dict[str, Any] = {} if threshold is None or not chosen.takes_threshold else {"threshold": threshold}
    if chosen.takes_precision:
        own["dtype"] = _dtype(precision)
    made: Tracker = getattr(importlib.import_module(f"voicemill.model.pitch.{module}"), name)(fmin, fmax, **own)
    return made


def _dtype(precision: Precision) -> Any:
    """The torch dtype of a precision on this machine."""
    import torch

    from voicemill.model.device import convolves_bf16_faster, place
    from voicemill.model.embedded import SWIFT_F0
    from voicemill.model.pitch.swift_int8 import multiplies_bytes

    if precision in ("auto", "int8") and multiplies_bytes(SWIFT_F0.path("model.onnx")):
        return torch.int8
    if precision == "int8":
        raise ConfigError("f0.precision = 'int8' needs a CPU with VNNI and a torch with oneDNN: set 'auto'")
    if precision == "auto":
        return torch.bfloat16 if convolves_bf16_faster() else torch.float32
    return place("cpu", precision).dtype


def weights_file(engine: str) -> Path | None:
    """File with an engine's weights, None for engines without weights.

    Raises:
        ConfigError: its package is not installed.
    """
    weights = ENGINES[engine].weights
    return package_folder(engine) / weights if weights else None


def package_folder(engine: str) -> Path:
    """Folder of an engine's package, which is not imported.

    Raises:
        ConfigError: it is not installed; the message names the extra that brings it.
    """
    chosen = ENGINES[engine]
    spec = importlib.util.find_spec(chosen.package)
    if spec is None or not spec.submodule_search_locations:
        name = f"voicemill[{chosen.extra}]" if chosen.extra else "voicemill"
        others = ", ".join(other for other, entry in ENGINES.items() if not entry.extra and other != engine)
        raise ConfigError(
            f"f0.engine = {engine!r} needs {chosen.package}, which is not installed: pip install '{name}', "
            f"or choose one of {others}"
        )
    return Path(spec.submodule_search_locations[0])
