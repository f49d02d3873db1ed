"""F0 trackers of the extra `compare`: Harvest and DIO of WORLD, and FCPE. All of them take 16 kHz."""

import contextlib
import importlib.machinery
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.pitch.engines import package_folder
from voicemill.model.pitch.grid import F0, frames_of
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Hertz


@dataclass(frozen=True)
class World:
    """A tracker of pyworld, refined by StoneMask."""

    METHOD: ClassVar[str]
    """Function of pyworld, and name of the engine."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    @cached_property
    def _module(self) -> Any:
        """The compiled part of pyworld alone: its package imports pkg_resources, which new setuptools lack."""
        folder = package_folder(self.METHOD)
        paths = [folder / f"pyworld{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
        path = str(next(path for path in paths if path.exists()))
        loader = importlib.machinery.ExtensionFileLoader("pyworld.pyworld", path)
        spec = importlib.machinery.ModuleSpec("pyworld.pyworld", loader, origin=path)
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        return module

    def _one(self, wave: Wave) -> F0:
        pyworld = self._module
        total = frames_of(len(wave))
        x = to_16_khz(wave).astype(np.float64)
        method = getattr(pyworld, self.METHOD)
        hertz, times = method(x, RATE // 2, f0_floor=self.fmin, f0_ceil=self.fmax, frame_period=5.0)
        hertz = pyworld.stonemask(x, hertz, times, RATE // 2)
        result: F0 = hertz[1 : 2 * total : 2].astype(np.float32)
        return result


class Harvest(World):
    """Harvest (Morise, Interspeech 2017)."""

    METHOD = "harvest"


class Dio(World):
    """DIO (Morise et al. 2009): faster than Harvest, with more octave errors."""

    METHOD = "dio"


@dataclass(frozen=True)
class Fcpe:
    """torchfcpe with the weights in its wheel."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.006

    @cached_property
    def _model(self) -> Any:
        import torchfcpe

        with contextlib.redirect_stdout(io.StringIO()):
            return torchfcpe.spawn_bundled_infer_model(device="cpu")

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        total = frames_of(len(wave))
        x = torch.from_numpy(np.pad(to_16_khz(wave), (80, 400)))[None, :, None]
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
