"""Benchmark: durations of the light system by the forced alignment and by search alone. `python
tests/bench/light_durations.py [--steps 300] [--longest 7] [--tolerances 2]`

English recordings of `../shared/speech` that pocketsphinx aligns, every fifth held out. The acoustic model of the
default size learns from the others, from the same weights and the same batches for the same steps; the speaker
encoder is random and the same for all. On the held-out recordings:

- words: how far the first and the last sound of each word are from where the forced alignment has them, by the
  durations that training sees (mean, ms), and the share of ends that are over 100 ms off;
- mel: distance of the log-mel with those durations (nepers); mel/free: with durations by search, whichever was used in
  training;
- duration: the loss of the predictor on its own durations (squared error of logs, unweighted);
- spoken: how far the length of each word, as predicted from the text, is from the forced alignment (mean, ms).

Writes bench/light_durations.json.
"""

import argparse
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from voicemill.model.audio.mel import LogMel  # noqa: E402
from voicemill.model.data.bounds import bounds_of  # noqa: E402
from voicemill.model.data.minibatch import Minibatch, Totals  # noqa: E402
from voicemill.model.data.reader import Example  # noqa: E402
from voicemill.model.data.stream import batch_of  # noqa: E402
from voicemill.model.light.acoustic import Fit  # noqa: E402
from voicemill.model.light.config import AcousticConfig, EcapaConfig  # noqa: E402
from voicemill.model.light.system import LightSystem  # noqa: E402
from voicemill.model.settings.light import LightAcousticSettings  # noqa: E402
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner  # noqa: E402
from voicemill.model.speech.text_fit import quality  # noqa: E402
from voicemill.model.speech.words import Unalignable, split  # noqa: E402
from voicemill.model.text.frontend import phonemes  # noqa: E402
from voicemill.model.text.symbols import SYMBOLS  # noqa: E402
from voicemill.model.text.written import Stretch, stretches  # noqa: E402
from voicemill.model.training.light.acoustic import LightAcousticObjective  # noqa: E402
from voicemill.storage.records import Word  # noqa: E402
from voicemill.storage.units import RATE  # noqa: E402

OUT = Path("bench/light_durations.json")
SPEECH = ROOT.parent / "shared" / "speech" / "recordings"
FRAME = 20.0
"""Threshold of an end that counts as off, ms."""
SPEAKER = EcapaConfig(channels=32, scale=4, bottleneck=16)


@dataclass(frozen=True)
class Corpus:
    """Aligned utterances."""

    training: list[Example]
    heard: list[Example]
    words: dict[str, list[tuple[Stretch, float, float]]]
    """Words of each utterance with their start and end, ms."""


def read(longest: float) -> Corpus:
    pocket, examples, words = PocketsphinxAligner(), [], {}
    with (SPEECH / "metadata.csv").open(newline="") as file:
        known = [row for row in csv.DictReader(file) if row["language"] == "en" and row["text"].strip()]
    for row in known:
        if not 1 < float(row["duration_s"]) <= longest:
            continue
        wave, rate = soundfile.read(SPEECH / row["file"], dtype="float32", always_2d=True)
        wave, said = soxr.resample(wave[:, 0], rate, RATE), split(row["text"], "en")
        try:
            spans = pocket.align(wave, said).spans
        except Unalignable:
            continue
        times = [Word(t, at.start, at.stop, at.score) for t, at in zip(said, spans, strict=True) if at]
        if any(word.stop <= word.start for word in times) or quality([word.score for word in times]) < 0.33:
            continue  # as the stage align
        found, frames = phonemes(row["text"], "en"), len(wave) // 640
        bounds, parts = bounds_of(found, times, 0, frames, 640), stretches(found, [word.text for word in times])
        if bounds is None or parts is None:
            continue
        example = Example(
            id=row["file"],
            speaker=row["speaker"],
            phones=found.ids,
            content=np.zeros((frames, 1), np.float16),
            f0=None,
            wave=wave[: frames * 640],
            bounds=bounds,
        )
        examples.append(example)
        words[row["file"]] = [(p, times[p.words[0]].start / 32, times[p.words[1] - 1].stop / 32) for p in parts]
    return Corpus([made for n, made in enumerate(examples) if n % 5], examples[::5], words)


def part(examples: list[Example]) -> Minibatch:
    frames = [made.frames for made in examples]
    totals = Totals(1, len(examples), sum(frames), sum(n // 2 for n in frames))
    return batch_of(examples, [0] * len(examples), totals)


class Remembered(LightAcousticObjective):
    """Log-mels and speaker vectors, computed once per utterance: they cost most of a step and do not change."""

    known: dict[str, tuple[Tensor, Tensor]]

    def _fitted(self, batch: Minibatch) -> tuple[Fit, Tensor]:
        mels, voices = zip(*(self.known[name] for name in batch.ids), strict=True)
        mel, voice = pad_sequence([mel.T for mel in mels], batch_first=True).mT, torch.stack(voices)
        held = (batch.bounds, self.settings.tolerance) if self.settings.durations == "alignment" else (None, 0)
        said = batch.phones, batch.phone_lengths
        found: Fit = self.modules["light"](*said, mel, batch.lengths, voice, *held)
        return found, voice


@torch.no_grad()
def known(corpus: Corpus) -> dict[str, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    system, found = LightSystem(SPEAKER, trained=["speaker"]), {}
    for made in (*corpus.training, *corpus.heard):
        mel = torch.from_numpy(LogMel().frames(made.wave).T.copy())
        found[made.id] = mel, system.speaker.eval().embed(mel[None], torch.tensor([made.frames]))[0]
    return found


def learnt(corpus: Corpus, settings: LightAcousticSettings, steps: int, size: int) -> Remembered:
    torch.manual_seed(0)
    objective = Remembered(LightSystem(SPEAKER, AcousticConfig(phones=len(SYMBOLS)), trained=["speaker"]), settings)
    objective.known = known(corpus)
    network, order = objective.system.acoustic, np.random.default_rng(0)
    optimiser = objective.optimisers(2e-3)["light"]
    slowing = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    by_length = sorted(corpus.training, key=lambda made: made.frames)
    for _ in range(steps):
        at = int(order.integers(0, len(by_length) - size + 1))
        network.train().zero_grad()
        torch.stack(list(objective.losses("light", part(by_length[at : at + size])).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        slowing.step()
    return objective


@torch.no_grad()
def judged(objective: Remembered, corpus: Corpus) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    settings = objective.settings
    for made in corpus.heard:
        batch = part([made])
        measured = objective.validate(batch)
        fitted, _ = objective._fitted(batch)
        ends = np.cumsum(fitted.durations[0].numpy()) * FRAME
        starts, spoken = ends - fitted.durations[0].numpy() * FRAME, fitted.log_durations[0].exp().numpy() * FRAME
        for stretch, begin, end in corpus.words[made.id]:
            first, stop = stretch.phones
            off = [abs(starts[first] - begin), abs(ends[stop - 1] - end)]
            found.setdefault("words", []).extend(off)
            found.setdefault("over100", []).extend(float(value > 100) for value in off)
            found.setdefault("spoken", []).append(abs(float(spoken[first:stop].sum()) - (end - begin)))
        found.setdefault("mel", []).append(measured["log_mel_distance"])
        found.setdefault("duration", []).append(measured["duration"] / settings.duration_weight)
        objective.settings = settings.model_copy(update={"durations": "search"})
        found.setdefault("mel/free", []).append(objective.validate(batch)["log_mel_distance"])
        objective.settings = settings
    return {name: mean(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--longest", type=float, default=7.0, help="seconds of an utterance")
    parser.add_argument("--tolerances", type=int, nargs="*", default=[2])
    options = parser.parse_args()
    if not SPEECH.is_dir():
        sys.exit(f"{SPEECH} is not there: this benchmark needs real speech")
    torch.set_num_threads(1)
    corpus = read(options.longest)
    print(f"{len(corpus.training)} aligned utterances to learn from, {len(corpus.heard)} held out", flush=True)
    ways = {"search": LightAcousticSettings(durations="search")}
    ways |= {f"alignment, {n} frames": LightAcousticSettings(tolerance=n) for n in options.tolerances}
    rows: dict[str, dict[str, float]] = {}
    for name, settings in ways.items():
        rows[name] = judged(learnt(corpus, settings, options.steps, options.batch), corpus)
        figures = "  ".join(f"{key} {value:.3f}" for key, value in rows[name].items())
        print(f"{name:20}  {figures}", flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(vars(options) | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
