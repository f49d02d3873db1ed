"""A small network that judges speech as DNSMOS does, and measures SNR, reverberation and music besides.

It reads a log-mel spectrum (80 bands up to 8 kHz every 10 ms) and runs 730 times faster than real time on one core,
where DNSMOS with all its windows is 7 to 25 times as fast. `tests/bench/quality_train.py` made it from
recordings with added noise, music and rooms, whose labels are DNSMOS's opinions and what was added; how well it does on
other speakers, noises, music and rooms is measured by `tests/bench/quality.py`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.audio.spectrum import mel_power, power_of
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.keys import file_digest

OUTPUTS = ("sig", "bak", "ovrl", "p808", "snr_db", "c50_db", "music", "speech")
FILE = Path(__file__).parent / "network.onnx"
_LEAST = 100
"""Frames; a shorter signal is repeated to this length."""


@dataclass(frozen=True)
class Measures:
    """Estimates for one clip."""

    sig: float
    """Opinion on the speech, 1 to 5; `bak`: the background; `ovrl`: the whole (P.835); `p808`: the whole (P.808)."""
    bak: float
    ovrl: float
    p808: float
    snr_db: float
    """Speech over everything else, dB, about -20 to 60."""
    c50_db: float
    """Clarity, dB; rooms that are hardly audible have 20 and more."""
    music: float
    """Probability of music, 0..1."""
    speech: float
    """Probability of speech, 0..1."""


@cache
def network_digest() -> str:
    """sha256 (hex) of the network's file."""
    return file_digest(FILE)


class QualityNetwork:
    """The network, on one thread; the result for a signal does not depend on those before it."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(FILE), options, providers=["CPUExecutionProvider"])

    def measure(self, wave: Wave) -> Measures:
        """Estimates for float32 [samples], 32 kHz, -1..1."""
        mel = features(wave)
        mel = np.resize(mel, (max(len(mel), _LEAST), mel.shape[1]))
        raw = self._session.run(None, {"mel": mel[None, None]})[0][0].astype(np.float64)
        opinions = np.clip(raw[:4] + 3.0, 1.0, 5.0)
        sig, bak, ovrl, p808 = (float(value) for value in opinions)
        music, speech = (float(value) for value in 1.0 / (1.0 + np.exp(-raw[6:])))
        return Measures(
            sig=sig,
            bak=bak,
            ovrl=ovrl,
            p808=p808,
            snr_db=float(10.0 * raw[4]),
            c50_db=float(10.0 * raw[5]),
            music=music,
            speech=speech,
        )


def features(wave: Wave) -> NDArray[np.float32]:
    """Log-mel of float32 [samples], 32 kHz: float32 [frames, 80], about -4 to 2; every 10 ms."""
    level: NDArray[np.float32] = np.log10(mel_power(power_of(wave)) + np.float32(1e-7)) * np.float32(0.5)
    return level
