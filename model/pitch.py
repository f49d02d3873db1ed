"""F0 of speech on a 10 ms grid: the engines behind one face.

`track` of every engine takes waves (float32 [samples], 32 kHz) and gives F0 (float32 [samples // 320], Hz, 0 =
unvoiced); frame i is centred on sample 320 i + 160, so two of them stand over each frame of the log-mel.
`tests/bench/f0.py` compares them.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.resampling import halved
from storage.artifacts import Wave
from storage.errors import ConfigError
from storage.units import RATE, Frames, Hertz, Samples

HOP: Samples = 320
SWIFT_HOP: Samples = 256
"""At 16 kHz."""
SWIFT_WINDOW: Frames = 200
"""Frames (3.2 s) in one call of SwiftF0: what it holds then stays in the cache (1.2 x the speed on long segments)."""
SWIFT_CONTEXT: Frames = 11
"""Frames around a window that its frames depend on: the network sees 2815 samples each way."""
F0 = NDArray[np.float32]
Double = NDArray[np.float64]
ENGINES = ("swift", "autocorrelation", "pyin", "harvest", "dio", "fcpe")


class Tracker(Protocol):
    """An F0 engine."""

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        """F0 of each wave; the same whatever waves stand beside it."""
        ...


def frames_of(samples: Samples) -> Frames:
    """Frames of F0 over so many samples at 32 kHz."""
    return samples // HOP


@dataclass(frozen=True)
class Autocorrelation:
    """Autocorrelation of the low-passed, root-compressed spectrum over that of the window, then the best path.

    Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
    sound", IFA Proceedings 17 (1993), with two changes: the power spectrum is raised to `power` before it is turned
    into an autocorrelation (Tolonen and Karjalainen, IEEE Trans. SAP 8(6), 2000), which flattens formants; and the
    low-pass and the lower lag rate come from cutting the spectrum, so nothing is resampled.
    Paths are searched over many segments in lockstep; each is searched alone.
    """

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.34
    """Autocorrelation from which a frame is voiced."""
    periods: float = 2.88
    """Length of the window in periods of `fmin`."""
    cut_hz: Hertz = 2500.0
    power: float = 0.6
    silence: float = 0.03
    """Frames below this share of the segment's peak lean to unvoiced."""
    octave_cost: float = 0.01
    jump_cost: float = 0.35
    voicing_cost: float = 0.14
    candidates: int = 8

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
        result: list[F0] = [np.zeros(frames_of(len(wave)), np.float32) for wave in waves]
        for start in range(0, len(order), 64):
            group = [i for i in order[start : start + 64] if frames_of(len(waves[i]))]
            found = [self.propose(waves[i]) for i in group]
            for i, path in zip(group, self._paths(found), strict=True):
                result[i] = path
        return result

    @cached_property
    def _shape(self) -> tuple[int, int, int, int, Tensor, Tensor]:
        """FFT size, window size, shortest and longest lag at 16 kHz, window, 1 / the window's autocorrelation."""
        size = 2 * round(self.periods / self.fmin * RATE / 2)
        longest = int(np.ceil(RATE / 2 / self.fmin)) + 1
        shortest = max(2, int(RATE / 2 / self.fmax))
        fft = size + 2 * longest
        fft += -fft % 256
        window = torch.hann_window(size, periodic=False, dtype=torch.float64)
        own = torch.fft.irfft(torch.fft.rfft(window, fft).abs() ** 2)[: 2 * (longest + 2) : 2]
        return fft, size, shortest, longest, window.float(), (own[0] / own).float()

    def propose(self, wave: Wave) -> tuple[Double, Double]:
        """Candidates of one wave: F0 [frames, candidates + 1] in log2 Hz and their strength; the last is unvoiced."""
        fft, size, shortest, longest, window, inverse = self._shape
        total = frames_of(len(wave))
        with torch.inference_mode():
            x = torch.from_numpy(np.array(wave, dtype=np.float32))
            x = nn.functional.pad(x - x.mean(), (size // 2 - HOP // 2, size))
            parts = [
                self._chunk(
                    x[HOP * i : HOP * (min(i + 128, total) - 1) + size], fft, size, shortest, longest, window, inverse
                )
                for i in range(0, total, 128)
            ]
            octave, strength, level = (torch.cat(column) for column in zip(*parts, strict=True))
        octaves, strengths, levels = octave.double().numpy(), strength.double().numpy(), level.double().numpy()
        top = max(float(np.quantile(levels, 0.99)), 1e-6)
        quiet = np.maximum(0.0, 2.0 - levels / top * (1 + self.threshold) / self.silence)
        unvoiced = self.threshold + quiet
        return (
            np.concatenate([octaves, np.zeros((total, 1))], 1),
            np.concatenate([strengths, unvoiced[:, None]], 1),
        )

    def _chunk(
        self, x: Tensor, fft: int, size: int, shortest: int, longest: int, window: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        frames = x.unfold(-1, size, HOP)
        spectrum = torch.view_as_real(
            torch.fft.rfft((frames - frames.mean(-1, keepdim=True)) * window, fft)[:, : int(self.cut_hz / RATE * fft)]
        )
        squares = spectrum * spectrum
        power = squares[..., 0] + squares[..., 1]
        level = power.sum(-1).sqrt()
        if self.power != 1.0:
            power = power.pow(self.power)
        r = torch.fft.irfft(power, fft // 2)[:, : longest + 2]
        r = r * (inverse / r[:, :1].clamp(min=1e-20))
        here, before, after = (
            r[:, shortest : longest + 1],
            r[:, shortest - 1 : longest],
            r[:, shortest + 1 : longest + 2],
        )
        peak = (here > before) & (here >= after) & (here > 0)
        bend = (before - 2 * here + after).clamp(max=-1e-9)
        shift = (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
        height = here - 0.25 * (before - after) * shift
        height = torch.where(height > 1, 1 / height, height)
        octave = torch.log2((RATE / 2) / (torch.arange(shortest, longest + 1) + shift))
        inside = (octave >= np.log2(self.fmin)) & (octave <= np.log2(self.fmax))
        score = height + self.octave_cost * (octave - np.log2(self.fmin))
        score, at = torch.where(peak & inside, score, -10.0).topk(self.candidates, dim=-1)
        return octave.gather(-1, at), score, level

    def _paths(self, found: Sequence[tuple[Double, Double]]) -> list[F0]:
        """The best path through the candidates of each segment; `found` is in order of length."""
        lengths = np.array([len(octave) for octave, _ in found])
        if not len(lengths):
            return []
        longest, states = int(lengths[-1]), self.candidates + 1
        octave = np.zeros((longest, len(found), states))
        strength = np.zeros((longest, len(found), states))
        for k, (o, s) in enumerate(found):
            octave[: len(o), k], strength[: len(s), k] = o, s
        voiced = np.arange(states) < states - 1
        both = (voiced[:, None] & voiced[None, :]).astype(float)
        switch = self.voicing_cost * (voiced[:, None] ^ voiced[None, :])
        best = strength[0].copy()
        back = np.zeros((longest, len(found), states), dtype=np.int8)
        ends = np.zeros(len(found), dtype=int)
        ends[lengths == 1] = best[lengths == 1].argmax(1)
        for t in range(1, longest):
            first = int(np.searchsorted(lengths, t, side="right"))  # segments that still have a frame t
            cost = np.abs(octave[t - 1, first:, :, None] - octave[t, first:, None, :])
            cost *= self.jump_cost * both
            cost += switch
            score = best[first:, :, None] - cost
            came = score.argmax(1)
            back[t, first:] = came
            best[first:] = np.take_along_axis(score, came[:, None], 1)[:, 0] + strength[t, first:]
            done = np.flatnonzero(lengths[first:] == t + 1) + first
            ends[done] = best[done].argmax(1)
        path = np.full((longest, len(found)), states - 1)
        state = ends.copy()
        rows = np.arange(len(found))
        for t in range(longest - 1, -1, -1):
            running = lengths > t
            path[t, running] = state[running]
            state = np.where(running, back[t, rows, state], state)
        hertz = np.where(path < states - 1, 2.0 ** np.take_along_axis(octave, path[..., None], 2)[..., 0], 0.0)
        return [hertz[:n, k].astype(np.float32) for k, n in enumerate(lengths)]


@dataclass(frozen=True)
class SwiftF0:
    """SwiftF0, a small convolutional network with its weights in its wheel (arXiv 2508.18440, MIT), 16 ms frames."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.5

    @staticmethod
    def model() -> Path:
        """The network's file in the wheel."""
        import swift_f0

        return Path(swift_f0.__file__).with_name("model.onnx")

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.model()), options, providers=["CPUExecutionProvider"])

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        times = (np.arange(frames_of(len(wave))) + 0.5) * HOP / RATE
        if not len(times):
            return np.zeros(0, np.float32)
        x = halved(wave)
        total = max(1, len(x) // SWIFT_HOP)
        parts = []
        for start in range(0, total, SWIFT_WINDOW):
            stop = start + SWIFT_WINDOW if start + 2 * SWIFT_WINDOW <= total else total
            before = max(0, start - SWIFT_CONTEXT)
            heard = x[before * SWIFT_HOP : None if stop == total else (stop + SWIFT_CONTEXT) * SWIFT_HOP]
            parts.append([values[start - before : stop - before] for values in self._run(heard)])
            if stop == total:
                break
        hertz, confidence = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        hops = x[: total * SWIFT_HOP].reshape(total, -1)
        confidence[np.abs(hops).max(1) < 1e-3] = 0.0  # the network answers at random on digital silence
        return regrid(0.016 * np.arange(len(hertz), dtype=np.float64), hertz, confidence, times, self.threshold)

    def _run(self, x: Wave) -> tuple[Double, Double]:
        """float32 [samples], 16 kHz -> Hz and confidence, a value for every 256 samples."""
        feed = {"audio": x[None], "fmin": np.asarray(self.fmin, np.float32), "fmax": np.asarray(self.fmax, np.float32)}
        hertz, confidence = (out[0].astype(np.float64) for out in self._session.run(["pitch", "confidence"], feed))
        return hertz, confidence


def regrid(at: Double, hertz: Double, confidence: Double, times: Double, threshold: float) -> F0:
    """F0 at `at` (seconds) to `times`: voiced where the interpolated confidence says so; log F0 interpolated over
    voiced neighbours only."""
    sure = np.interp(times, at, confidence)
    voiced = confidence >= threshold
    if not voiced.any():
        return np.zeros(len(times), np.float32)
    value = np.exp(np.interp(times, at[voiced], np.log(hertz[voiced])))
    return np.where(sure >= threshold, value, 0.0).astype(np.float32)


@dataclass(frozen=True)
class Pyin:
    """librosa.pyin (Mauch and Dixon, ICASSP 2014) at 16 kHz."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        import librosa

        total = frames_of(len(wave))
        x = np.pad(halved(wave), (512 - 80, 1024))
        hertz, voiced, _ = librosa.pyin(
            x, fmin=self.fmin, fmax=self.fmax, sr=RATE // 2, frame_length=1024, hop_length=160, center=False
        )
        result: F0 = np.where(voiced, hertz, 0.0)[:total].astype(np.float32)
        return result


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

        spec = importlib.util.find_spec("pyworld")
        if spec is None or not spec.submodule_search_locations:
            raise not_installed(self.method, "pyworld")
        folder = Path(spec.submodule_search_locations[0])
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

    @staticmethod
    def model() -> Path:
        """The network's file in the wheel."""
        import importlib.util

        spec = importlib.util.find_spec("torchfcpe")
        if spec is None or not spec.submodule_search_locations:
            raise not_installed("fcpe", "torchfcpe")
        return Path(spec.submodule_search_locations[0]) / "assets" / "fcpe_c_v001.pt"


def not_installed(engine: str, package: str) -> ConfigError:
    """The error for an engine whose package is not in this environment."""
    return ConfigError(
        f"f0.engine = {engine!r} needs {package}, which is not installed: pip install 'voicemill[compare]', "
        "or choose swift, autocorrelation or pyin"
    )


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
            Fcpe.model()
            return Fcpe(fmin, fmax, **own)
    raise ConfigError(f"f0.engine = {engine!r}: choose one of {', '.join(ENGINES)}")


def model_file(engine: str) -> Path | None:
    """The file with an engine's weights; None for engines that have none.

    Raises:
        ConfigError: its package is not installed.
    """
    return {"swift": SwiftF0.model, "fcpe": Fcpe.model}.get(engine, lambda: None)()
