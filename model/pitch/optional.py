"""F0 by the trackers of the extra `compare`: Harvest and DIO of WORLD, and FCPE.

Both packages hear 16 kHz; behind `voicemill.model.pitch.engines` as the engines `harvest`, `dio` and `fcpe`.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from voicemill.model.audio.resampling import halved
from voicemill.model.pitch.grid import F0, frames_of
from voicemill.model.pitch.weights import folder_of, not_installed
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Hertz


@dataclass(frozen=True)
class World:
    """pyworld: Harvest, or DIO, each refined by StoneMask (Morise 2017, 2009)."""

    method: str = "harvest"
    fmin: Hertz = 60.0
    fmax: Hertz = 800.0

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def load(self) -> None:
        """Raises ConfigError where pyworld is not installed."""
        _ = self._module

    @cached_property
    def _module(self) -> Any:
        """The compiled part of pyworld alone: its package asks for pkg_resources, which new setuptools lack."""
        import importlib.machinery
        import importlib.util

        folder = folder_of(self.method, "pyworld")
        files = [folder / f"pyworld{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
        inner = importlib.util.spec_from_file_location("pyworld.pyworld", next(f for f in files if f.exists()))
        if inner is None or inner.loader is None:
            raise not_installed(self.method, "pyworld")
        module = importlib.util.module_from_spec(inner)
        inner.loader.exec_module(module)
        return module

    def _one(self, wave: Wave) -> F0:
        pyworld = self._module
        total = frames_of(len(wave))
        x = halved(wave).astype(np.float64)
        method = getattr(pyworld, self.method)
        hertz, at = method(x, RATE // 2, f0_floor=self.fmin, f0_ceil=self.fmax, frame_period=5.0)
        hertz = pyworld.stonemask(x, hertz, at, RATE // 2)
        result: F0 = hertz[1 : 2 * total : 2].astype(np.float32)
        return result


@dataclass(frozen=True)
class Fcpe:
    """torchfcpe with the weights in its wheel."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.006

    @cached_property
    def _model(self) -> Any:
        try:
            import torchfcpe
        except ImportError:
            raise not_installed("fcpe", "torchfcpe") from None
        with contextlib.redirect_stdout(io.StringIO()):
            return torchfcpe.spawn_bundled_infer_model(device="cpu")

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        total = frames_of(len(wave))
        x = torch.from_numpy(np.pad(halved(wave), (80, 400)))[None, :, None]
        with torch.inference_mode(), contextlib.redirect_stdout(io.StringIO()):  # it prints a line for each loud wave
            hertz = self._model.infer(
                x,
                sr=RATE // 2,
                decoder_mode="local_argmax",
                threshold=self.threshold,
                f0_min=self.fmin,
                f0_max=self.fmax,
            )
        result: F0 = hertz[0, 1 : total + 1, 0].numpy().astype(np.float32)
        return result
