"""Benchmark: the two vocoders of the light system, trained for the same processor time on the same recordings.

    python tests/bench/light_vocoders.py INBOX [--minutes 3] [--recordings 400]

INBOX: as `voicemill demo-corpus` fills it. One thread, bfloat16 where the CPU multiplies it, no discriminators, the
losses of `LightVocoderObjective`; twelve recordings are held out. Printed: weights, steps, log-mel distance of the
held-out recordings (nepers) and their predicted opinion, beside that of the recordings themselves. Writes
bench/light_vocoders.json.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.device import place
from voicemill.model.embedded import DISTILL_MOS, PREFIX
from voicemill.model.judging.judges import JudgeSettings, judges
from voicemill.model.light.config import SpectralConfig, VocoderConfig
from voicemill.model.light.spectral import SpectralVocoder
from voicemill.model.s2.generator import Generator
from voicemill.model.settings.light import LightVocoderSettings
from voicemill.model.training.objectives.waveform_losses import StftLoss
from voicemill.storage.units import RATE

OUT = Path("bench/light_vocoders.json")
RATES = {"hifigan": 1e-3, "spectral": 2e-3}
"""Learning rate of each network."""
BATCH, HELD, WARMUP = 8, 12, 100


def read(path: Path) -> Tensor:
    wave, rate = soundfile.read(path, dtype="float32")
    return torch.from_numpy(np.asarray(soxr.resample(wave, rate, RATE), np.float32))


def batch(waves: list[Tensor], samples: int, rng: random.Random) -> Tensor:
    rows = []
    for wave in (rng.choice(waves) for _ in range(BATCH)):
        start = rng.randrange(max(0, len(wave) - samples) // HOP + 1) * HOP
        piece = wave[start : start + samples]
        rows.append(functional.pad(piece, (0, samples - len(piece))))
    return torch.stack(rows)


def rendered(network: nn.Module, mel: LogMel, waves: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        return [network(mel.mel(wave[None]))[0, 0].float() for wave in waves]


def trained(name: str, network: nn.Module, waves: list[Tensor], minutes: float, dtype: torch.dtype) -> int:
    """Train a network; return the number of steps."""
    settings, mel, spectra, rng = LightVocoderSettings(), LogMel(), StftLoss(), random.Random(0)
    optimiser = torch.optim.AdamW(network.parameters(), RATES[name], betas=(0.8, 0.99))
    began, steps = time.process_time(), 0
    while time.process_time() - began < minutes * 60:
        optimiser.param_groups[0]["lr"] = RATES[name] * min(1.0, (steps + 1) / WARMUP)
        real = batch(waves, settings.segment * HOP, rng)
        target = mel.mel(real)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            fake = network(target)
        wave = fake[:, 0].float()
        loss = settings.mel_weight * (mel.mel(wave) - target).abs().mean()
        loss = loss + settings.stft_weight * spectra(real, wave).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 50.0)
        optimiser.step()
        steps += 1
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--recordings", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(options.inbox.glob("*/*.flac"))[: options.recordings]
    waves = [read(path) for path in paths]
    held = [wave[: len(wave) // HOP * HOP] for wave in waves[:HELD]]
    dtype, mel = place("cpu", "auto").dtype, LogMel()
    opinion = judges(
        JudgeSettings(speaker_encoder="none", recogniser="none", opinion=PREFIX + DISTILL_MOS.name), {}
    ).opinion
    assert opinion is not None
    rows: dict[str, dict[str, float]] = {}
    for name in RATES:
        torch.manual_seed(0)
        network = Generator(VocoderConfig()) if name == "hifigan" else SpectralVocoder(SpectralConfig())
        steps = trained(name, network, waves[HELD:], options.minutes, dtype)
        made = rendered(network, mel, held, dtype)
        distance = np.mean(
            [float((mel.mel(a[None]) - mel.mel(b[None])).abs().mean()) for a, b in zip(made, held, strict=True)]
        )
        rows[name] = {
            "weights": sum(weight.numel() for weight in network.parameters()),
            "steps": steps,
            "log_mel": float(distance),
            "mos": float(np.mean([opinion.score(wave.numpy()) for wave in made])),
        }
        print(name, {key: round(value, 3) for key, value in rows[name].items()}, flush=True)
    rows["recordings"] = {"mos": float(np.mean([opinion.score(wave.numpy()) for wave in held]))}
    print("recordings", rows["recordings"])
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"minutes": options.minutes, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
