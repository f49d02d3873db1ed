"""F0 of speech on a 10 ms grid: the engines behind one face.

`track` of every engine takes waves (float32 [samples], 32 kHz) and gives F0 (float32 [samples // 320], Hz, 0 =
unvoiced) on the grid of `model.pitch.grid`. The engines: `pitch_autocorrelation` (our own), `pitch_bundled` (swift and
pyin), `pitch_compare` (harvest, dio and fcpe, of the extra `compare`). `tests/bench/f0.py` compares them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from voicemill.model.pitch.autocorrelation import Autocorrelation
from voicemill.model.pitch.bundled import Pyin, SwiftF0
from voicemill.model.pitch.grid import F0
from voicemill.model.pitch.optional import Fcpe, World
from voicemill.model.pitch.weights import model_file
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import Hertz

ENGINES = ("swift", "autocorrelation", "pyin", "harvest", "dio", "fcpe")


class Tracker(Protocol):
    """An F0 engine."""

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        """F0 of each wave; the same whatever waves stand beside it."""
        ...


def tracker(engine: str, fmin: Hertz, fmax: Hertz, threshold: float | None = None) -> Tracker:
    """The engine of that name; `threshold` None keeps the engine's own.

    Raises:
        ConfigError: there is no such engine, or its package is not installed.
    """
    own: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    match engine:
        case "swift":
            return SwiftF0(fmin, fmax, **own)
        case "autocorrelation":
            return Autocorrelation(fmin, fmax, **own)
        case "pyin":
            return Pyin(fmin, fmax)
        case "harvest" | "dio":
            world = World(engine, fmin, fmax)
            world.load()
            return world
        case "fcpe":
            model_file(engine)
            return Fcpe(fmin, fmax, **own)
    raise ConfigError(f"f0.engine = {engine!r}: choose one of {', '.join(ENGINES)}")
