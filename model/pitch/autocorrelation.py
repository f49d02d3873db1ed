"""F0 by autocorrelation of the low-passed, root-compressed spectrum and the best path through its candidates.

Needs torch alone; the engine `autocorrelation` of `voicemill.model.pitch.engines`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from voicemill.model.pitch.grid import F0, HOP, Double, frames_of
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Hertz


@dataclass(frozen=True)
class Autocorrelation:
    """Tracker by the autocorrelation of the compressed spectrum over that of the window, and Viterbi.

    Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
    sound", IFA Proceedings 17 (1993), with two changes: the power spectrum is raised to `power` before it is turned
    into an autocorrelation (Tolonen and Karjalainen, IEEE Trans. SAP 8(6), 2000), which flattens formants; and the
    low-pass and the lower lag rate come from cutting the spectrum, so nothing is resampled.
    Paths of many segments are searched in lockstep, each independent of the others.
    """

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.34
    """Normalised autocorrelation above which a frame is voiced."""
    periods: float = 2.88
    """Length of the window in periods of `fmin`."""
    cut_hz: Hertz = 2500.0
    power: float = 0.6
    silence: float = 0.03
    """Share of the segment's peak amplitude below which frames lean to unvoiced."""
    octave_cost: float = 0.01
    jump_cost: float = 0.35
    voicing_cost: float = 0.14
    candidates: int = 8

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
        result: list[F0] = [np.zeros(frames_of(len(wave)), np.float32) for wave in waves]
        for start in range(0, len(order), 64):
            group = [i for i in order[start : start + 64] if frames_of(len(waves[i]))]
            candidates = [self.propose(waves[i]) for i in group]
            for i, path in zip(group, self._paths(candidates), strict=True):
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
        """Candidates of one wave: log2 Hz and strength, float64 [frames, candidates + 1]; the last one is unvoiced."""
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
        centre, before, after = (
            r[:, shortest : longest + 1],
            r[:, shortest - 1 : longest],
            r[:, shortest + 1 : longest + 2],
        )
        peak = (centre > before) & (centre >= after) & (centre > 0)
        bend = (before - 2 * centre + after).clamp(max=-1e-9)
        shift = (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
        height = centre - 0.25 * (before - after) * shift
        height = torch.where(height > 1, 1 / height, height)
        octave = torch.log2((RATE / 2) / (torch.arange(shortest, longest + 1) + shift))
        inside = (octave >= np.log2(self.fmin)) & (octave <= np.log2(self.fmax))
        score = height + self.octave_cost * (octave - np.log2(self.fmin))
        score, at = torch.where(peak & inside, score, -10.0).topk(self.candidates, dim=-1)
        return octave.gather(-1, at), score, level

    def _paths(self, candidates: Sequence[tuple[Double, Double]]) -> list[F0]:
        """Best path through the candidates of each segment; the segments are in order of length."""
        lengths = np.array([len(octave) for octave, _ in candidates])
        if not len(lengths):
            return []
        longest, states = int(lengths[-1]), self.candidates + 1
        octave = np.zeros((longest, len(candidates), states))
        strength = np.zeros((longest, len(candidates), states))
        for k, (o, s) in enumerate(candidates):
            octave[: len(o), k], strength[: len(s), k] = o, s
        voiced = np.arange(states) < states - 1
        both = (voiced[:, None] & voiced[None, :]).astype(float)
        switch = self.voicing_cost * (voiced[:, None] ^ voiced[None, :])
        best = strength[0].copy()
        back = np.zeros((longest, len(candidates), states), dtype=np.int8)
        ends = np.zeros(len(candidates), dtype=int)
        ends[lengths == 1] = best[lengths == 1].argmax(1)
        for t in range(1, longest):
            first = int(np.searchsorted(lengths, t, side="right"))  # segments that still have a frame t
            cost = np.abs(octave[t - 1, first:, :, None] - octave[t, first:, None, :])
            cost *= self.jump_cost * both
            cost += switch
            score = best[first:, :, None] - cost
            origin = score.argmax(1)
            back[t, first:] = origin
            best[first:] = np.take_along_axis(score, origin[:, None], 1)[:, 0] + strength[t, first:]
            finished = np.flatnonzero(lengths[first:] == t + 1) + first
            ends[finished] = best[finished].argmax(1)
        path = np.full((longest, len(candidates)), states - 1)
        state = ends.copy()
        rows = np.arange(len(candidates))
        for t in range(longest - 1, -1, -1):
            running = lengths > t
            path[t, running] = state[running]
            state = np.where(running, back[t, rows, state], state)
        hertz = np.where(path < states - 1, 2.0 ** np.take_along_axis(octave, path[..., None], 2)[..., 0], 0.0)
        return [hertz[:n, k].astype(np.float32) for k, n in enumerate(lengths)]
