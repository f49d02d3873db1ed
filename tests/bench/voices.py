"""Benchmark: a light voice beside its teacher and espeak-ng, by one judge in one run.

    python tests/bench/voices.py LIGHT [--sentences 100] [--threads 2] [--way NAME ...]

LIGHT: file of a light voice trained on speech of `voicemill demo-corpus`. The sentences are those of
`sentences.txt`, which neither the corpus nor the teacher's training has. What is compared is another reading by the
teacher with Piper's own variation, in the place of a recording; its own row is the limit of what the judges can tell.

    light, int8     the voice as `voicemill speak` computes it, and its graphs in 8 bits
    teacher         the voice of the corpus, with the variation that `demo-corpus` takes
    espeak          espeak-ng, American English
    vocoder         parts: the vocoder on the true log-mel
    durations       parts: the acoustic model with the durations of the recording, and the vocoder

Word and character errors, predicted opinion, similarity, MCD, F0 and duration error with intervals of 95 % over the
sentences; times real time and size. Writes bench/voices.json.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from voicemill.flows.demo import voice as espeak  # noqa: E402
from voicemill.flows.demo.teacher import RATE as TEACHER_RATE  # noqa: E402
from voicemill.flows.demo.teacher import Teacher  # noqa: E402
from voicemill.model.embedded import PIPER  # noqa: E402
from voicemill.model.export.exporting import export_voice  # noqa: E402
from voicemill.model.export.light_voice import OnnxLightVoice  # noqa: E402
from voicemill.model.judging.bootstrap import interval  # noqa: E402
from voicemill.model.judging.judge import Judge  # noqa: E402
from voicemill.model.judging.judges import JudgeSettings, judges  # noqa: E402
from voicemill.model.judging.testset.clips import Clip  # noqa: E402
from voicemill.model.judging.testset.speech import synthesise  # noqa: E402
from voicemill.model.judging.testset.testset import Sentence, TestSet  # noqa: E402
from voicemill.model.light.acoustic import MEAN, SPREAD, log_likelihood, standardise  # noqa: E402
from voicemill.model.light.alignment import diagonal, durations_of, progress, regulate  # noqa: E402
from voicemill.model.light.voice import LightVoice, load_light_voice  # noqa: E402
from voicemill.model.speaking.options import SpeakOptions  # noqa: E402
from voicemill.model.speaking.pieces import Speech, lines_of  # noqa: E402
from voicemill.storage.corpus.artifacts import Wave  # noqa: E402
from voicemill.storage.units import RATE  # noqa: E402

OUT = Path("bench/voices.json")
METRICS = ("wer", "cer", "mos", "similarity", "mcd", "f0_error", "duration_error")
VARIATION = 0.333
"""Variation of sound and durations that `demo-corpus` takes by default."""
PIPERS_OWN = (0.667, 0.8)


@dataclass(frozen=True)
class Simple:
    """A voice that needs no reference, from a function of a text to float32 [samples], 32 kHz."""

    say: Callable[[str], Wave]

    def reference(self, recordings: Sequence[Path | str | Wave], text: str = "", language: str = "auto") -> None:
        return None

    def speak(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Speech:
        return Speech(self.say(text), ())

    def stream(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Default:
    """A light voice in its default voice, whatever the reference."""

    voice: LightVoice

    def reference(self, recordings: Sequence[Path | str | Wave], text: str = "", language: str = "auto") -> Any:
        return self.voice.reference([])

    def speak(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Speech:
        return self.voice.speak(text, reference, options)

    def stream(self, text: str, reference: Any, options: SpeakOptions | None = None) -> Any:
        raise NotImplementedError


def of_teacher(threads: int, noise: float, rhythm: float) -> Callable[[str], Wave]:
    teacher = Teacher(threads, noise, rhythm)
    return lambda text: np.asarray(soxr.resample(teacher.speak(text), TEACHER_RATE, RATE), np.float32)


def of_espeak(text: str) -> Wave:
    (wave,) = espeak.speak([espeak.Line(text, "en-us")])
    return np.asarray(soxr.resample(wave, espeak.RATE, RATE), np.float32)


def parts(voice: LightVoice, recordings: Mapping[str, Wave]) -> dict[str, Callable[[str], Wave]]:
    """The voice with the true log-mel, or the true durations, of the recording of each text."""
    own = voice.reference([])

    def true_mel(text: str) -> Wave:
        with torch.inference_mode():
            return voice._render(voice._mel.mel(torch.from_numpy(recordings[text])[None])[0])

    def true_durations(text: str) -> Wave:
        (line,) = lines_of(text, SpeakOptions(language="en"))
        with torch.inference_mode():
            mel = voice._mel.mel(torch.from_numpy(recordings[text])[None])
            phones, frames = len(line.phones), mel.shape[-1]
            encoded = voice.acoustic.encode(line.phones[None], own.embedding[None], torch.ones(1, 1, phones))
            lengths = torch.tensor([phones]), torch.tensor([frames])
            scores = log_likelihood(encoded.means, standardise(mel)) + diagonal(*lengths, phones, frames)
            durations = durations_of(scores, *lengths)
            means, states = (regulate(part, durations, frames) for part in (encoded.means, encoded.states))
            made, _ = voice.acoustic.decode(states, means, progress(durations, frames))
            return voice._render(made[0].T * SPREAD + MEAN)

    return {"vocoder": true_mel, "durations": true_durations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("light", type=Path)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = (Path(__file__).parent / "sentences.txt").read_text("utf-8").splitlines()[: options.sentences]
    read = of_teacher(options.threads, *PIPERS_OWN)
    recordings = {text: read(text) for text in texts}
    reference = Clip("reference", np.concatenate([read(text) for text in texts[:2]]), "", "en")
    sentences = [
        Sentence(
            id=f"{number:03}", text=text, language="en", speaker="joe", recording=recordings[text], reference=reference
        )
        for number, text in enumerate(texts)
    ]
    testset = TestSet(tuple(sentences), 0, ())
    judge = Judge(testset, judges(JudgeSettings(), {}), {})
    light = load_light_voice(options.light)
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        graphs = export_voice({"light": options.light}, folder / "int8", "int8")
        ways: dict[str, tuple[Any, int]] = {
            "light": (Default(light), options.light.stat().st_size),
            "int8": (Default(OnnxLightVoice(graphs, options.threads)), graphs.bytes),
            "teacher": (Simple(of_teacher(options.threads, VARIATION, VARIATION)), PIPER.size),
            "espeak": (Simple(of_espeak), 0),
            **{name: (Simple(say), 0) for name, say in parts(light, recordings).items()},
        }
        for name, (voice, size) in ways.items():
            if options.way and name not in options.way:
                continue
            speech = synthesise(testset, lambda voice=voice: voice, folder / name, SpeakOptions(watermark=None))
            figures = judge.speech(speech)
            rows[name] = {metric: interval(list(figures.items[metric].values())) for metric in METRICS}
            rows[name] |= {"rtf": figures.totals["rtf"], "MB": size / 1e6}
            show(name, rows[name])
        rows["recordings"] = {
            metric: interval(list(judge.real.items[metric].values()))
            for metric in METRICS
            if metric in judge.real.items
        }
        show("recordings", rows["recordings"])
    OUT.parent.mkdir(exist_ok=True)
    plain = {name: {key: getattr(value, "__dict__", value) for key, value in row.items()} for name, row in rows.items()}
    OUT.write_text(json.dumps({"light": str(options.light), "sentences": len(texts), "rows": plain}, indent=1))


def show(name: str, row: Mapping[str, Any]) -> None:
    if name == "light" or not hasattr(show, "begun"):
        print("| voice | " + " | ".join(METRICS) + " | times real time | MB |")
        print("|---|" + "---|" * (len(METRICS) + 2))
        show.begun = True  # type: ignore[attr-defined]
    cells = [
        f"{row[metric].mean:.3g} ({row[metric].low:.3g}-{row[metric].high:.3g})" if metric in row else ""
        for metric in METRICS
    ]
    cells += [f"{row['rtf']:.3f}", f"{row['MB']:.2f}"] if "rtf" in row else ["", ""]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
