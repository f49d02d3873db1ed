"""Distill-MOS: the embedded predictor of the mean opinion score, 1 to 5, of recordings and synthetic speech.

What: a convolutional network over the compressed complex spectrum (20 ms, every 10 ms), seven layers of transformer,
attention pooling; 4.1 M weights, distilled from a predictor over wav2vec 2.0 XLS-R. It rates noise, reverberation,
codecs and synthesis; it does not know the words, so a wrong sentence well spoken scores high.
Windows of 7.68 s at most 1 s apart are rated and averaged, each scaled to a peak of 1: level does not count. A shorter
recording is padded with zeros; one of 2 s scores other than the same speech within a long one.
Source: Stahl and Gamper, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech Quality
Assessment", ICASSP 2025; weights of `model.embedded.DISTILL_MOS`, computation written anew and equal to the package.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.checkpoints.torchfile import open_torchfile
from voicemill.model.device import Placement
from voicemill.storage.corpus.artifacts import Wave

WINDOW, HOP = 122_880, 16_000
"""Samples of a window, and between windows at most, 16 kHz."""
FRAME, STEP = 320, 160
"""Samples of a frame, and between frames."""
WIDTHS = (64, 64, 128, 256, 256, 256)
"""Channels of the convolutions. All but the first halve the frequencies; the last also halves the frames, to 384."""
FRAMES, BANDS, WIDTH, HEADS, LAYERS = 384, 4, 200, 8, 7


class DistillMos(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The network: float32 [1, samples], 16 kHz, to the score, float32 [1]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[Any] = []
        for number, (channels, width) in enumerate(zip((2, *WIDTHS), WIDTHS, strict=False)):
            stride = (1 if number == 0 else 2, 2 if number == len(WIDTHS) - 1 else 1)
            layers += [nn.Conv2d(channels, width, 3, stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
        self.cnn = nn.Sequential(*layers)
        self.norms = nn.ModuleList([nn.BatchNorm1d(BANDS * WIDTHS[-1]) for _ in range(2)])
        self.project = nn.Linear(BANDS * WIDTHS[-1], WIDTH)
        self.register_buffer("places", torch.zeros(1, FRAMES, WIDTH))
        make = nn.TransformerEncoderLayer
        self.layers = nn.ModuleList([make(WIDTH, HEADS, 2 * WIDTH, 0.0, batch_first=True) for _ in range(LAYERS)])
        self.norm = nn.BatchNorm1d(WIDTH)
        self.attention = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, 1))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, wave: Tensor) -> Tensor:
        wave = windows(wave)
        wave = wave / (wave.abs().amax(1, keepdim=True) + 1e-8)
        x = self.cnn(compressed_spectrum(wave)).flatten(1, 2)  # [windows, channels * bands, frames]
        for norm in self.norms:
            x = norm(x)
        x = self.project(x.mT) + self.places
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x.mT).mT
        pooled = (self.attention(x).softmax(1).mT @ x).squeeze(1)
        return 1 + 4 * torch.sigmoid(self.head(pooled)).mean(0)


def windows(wave: Tensor) -> Tensor:
    """Windows, float32 [windows, WINDOW], spread evenly over float32 [1, samples]; one, padded, of a short wave."""
    rest = wave.shape[1] - WINDOW
    if rest <= 0:
        return F.pad(wave, (0, -rest))
    many = math.ceil(rest / HOP) + 1
    starts = [int(number / (many - 1) * rest) for number in range(many)]
    return torch.cat([wave[:, start : start + WINDOW] for start in starts])


def compressed_spectrum(wave: Tensor) -> Tensor:
    """Spectrum, magnitudes to the power of 0.3, float32 [windows, 2, frequencies, frames], of [windows, samples]."""
    edge = (FRAME - STEP) // 2
    hann = torch.hann_window(FRAME, device=wave.device)
    wave = F.pad(wave, (edge, edge), mode="reflect")
    spectrum = torch.stft(wave, FRAME, STEP, FRAME, hann, center=False, return_complex=True)
    parts = torch.view_as_real(spectrum)
    size = parts.square().sum(-1, keepdim=True).sqrt().clip(1e-12)
    return (size**-0.7 * parts).permute(0, 3, 1, 2)


NAMES = {
    "cnn.cnn.": "cnn.",
    "transformer_pool_attn.norm_input.": "norms.0.",
    "transformer_pool_attn.transformer.norm.": "norms.1.",
    "transformer_pool_attn.transformer.linear_proj.": "project.",
    "transformer_pool_attn.transformer.position_encoding.pe": "places",
    "transformer_pool_attn.transformer.transformer_encoder.layers.": "layers.",
    "transformer_pool_attn.norm_trans.": "norm.",
    "transformer_pool_attn.pool.linear1.": "attention.0.",
    "transformer_pool_attn.pool.linear2.": "attention.2.",
    "transformer_pool_attn.pool.linear3.": "head.",
}
"""Beginnings of the names of weights in the file -> those of the network here."""


def load_distill_mos(file: Path) -> DistillMos:
    """Return the network with the weights of a file, which are read without running any code in it.

    Raises:
        CheckpointError: the file is damaged, or is no file of torch.save.
    """
    network = DistillMos()
    weights = {}
    with open_torchfile(file) as opened:
        for name, reference in opened.value["model"].items():
            start = next(start for start in NAMES if name.startswith(start))
            weights[NAMES[start] + name.removeprefix(start)] = opened.tensor(reference)
        network.load_state_dict(weights)
    network.eval()
    return network


class DistillMosPredictor:
    """The embedded predictor, as a judge."""

    def __init__(self, file: Path, placement: Placement) -> None:
        self._device = placement.device
        self._network = load_distill_mos(file).to(self._device)

    def score(self, wave: Wave) -> float:
        """Return the score, 1 to 5, of float32 [samples], 32 kHz."""
        with torch.inference_mode():
            return float(self._network(torch.from_numpy(to_16_khz(wave))[None].to(self._device)))
