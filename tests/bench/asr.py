"""Recognition with the embedded model: the product, faster-whisper and whisperx on the same segments, in one run.

English recordings with a transcript: word error rate by the rules of `voicemill evaluate`, where recordings without a
segment count as deletions (and without these), and times real time by processor time of one core. Recordings in other
languages, and sounds that are no speech (everyday noises, silence, tones, chords), handed to each as if they were
speech: how many get a text. The language is stated to none of them. Ways that write a text for every language only get
one in `SOME` of the other languages.

    product          short windows, guards, language by sound, as the stage `transcribe` runs them; also without parts
    faster-whisper   its own `transcribe` of each segment with its defaults, temperature fallback and no-speech rule
    whisperx         its `generate_segment_batched`, windows of 30 s in batches of 8

    python tests/bench/asr.py [every [way ...]]    every: use one recording in so many; default 1, and all ways
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soxr
from cut_speech import SPEECH, CutRecording, cut_recordings, read

from voicemill.model.embedded import PREFIX, WHISPER
from voicemill.model.judging.metrics.recognition import plain, word_errors
from voicemill.model.speech.guards import Limits
from voicemill.model.speech.recogniser import Recogniser, find_model, load
from voicemill.model.speech.whisper import WHISPER_RATE, Whisper
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE
from voicemill.tasks.stages import transcribe

ROOT = Path(__file__).parents[2]
SOME = 12
BY_LANGUAGE = ("product", "product, en stated")
"""Ways that refuse a language."""
Texts = Callable[[Sequence[Wave]], str]
"""Text of the segments of one recording."""


def sounds() -> Iterator[tuple[str, Wave]]:
    """Name and wave of sounds without speech, float32 [samples], 32 kHz."""
    for path in sorted((SPEECH / "noise").glob("*.flac")):
        yield path.stem, read(path)[: 12 * RATE]
    times = np.arange(5 * RATE) / RATE
    rng = np.random.default_rng(0)
    yield "silence", np.zeros(5 * RATE, np.float32)
    yield "white noise", (0.1 * rng.standard_normal(5 * RATE)).astype(np.float32)
    for hertz in (100, 440, 3000):
        yield f"tone of {hertz} Hz", (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
    notes = 220 * 2 ** (rng.integers(0, 24, (10, 3)) / 12)
    chords = [np.sin(2 * np.pi * three[:, None] * times[: RATE // 2]).sum(0) for three in notes]
    fade = np.exp(-3 * times[: RATE // 2])
    yield "chords", np.concatenate([0.1 * chord * fade for chord in chords]).astype(np.float32)


def ways() -> dict[str, Texts]:
    """Name -> texts of the segments of a recording."""
    from faster_whisper import WhisperModel

    model = find_model(PREFIX + WHISPER.name, "model")
    whisper = load(model, "cpu", "default", 5, "faster-whisper")
    recogniser = Recogniser(model, whisper, Limits(), 8)
    theirs = WhisperModel(str(model.folder), device="cpu", compute_type="int8", cpu_threads=1)
    batched = Whisper(model.folder, "cpu", "int8", 5, "whisperx")

    def product(waves: Sequence[Wave]) -> str:
        return " ".join(one.text for one in recogniser.texts({"u": waves}, {"u": ""})["u"])

    def stated(waves: Sequence[Wave]) -> str:
        return " ".join(one.text for one in recogniser.texts({"u": waves}, {"u": "en"})["u"])

    def bare(waves: Sequence[Wave]) -> str:
        return " ".join(one.text for one in whisper.decode([whisper.encode(wave) for wave in waves], "en"))

    def faster_whisper(waves: Sequence[Wave]) -> str:
        low = [np.asarray(soxr.resample(wave, RATE, WHISPER_RATE), np.float32) for wave in waves]
        return " ".join(part.text for wave in low for part in theirs.transcribe(wave, language="en")[0])

    def whisperx(waves: Sequence[Wave]) -> str:
        return " ".join(text for text, _ in batched.transcribe(waves, "en"))

    return {
        "product": product,
        "faster-whisper": faster_whisper,
        "whisperx": whisperx,
        "product, en stated": stated,
        "product, no guards": bare,
    }


def error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Word errors of (transcript, text) pairs over all words of the transcripts."""
    words = [(plain(given, "en").split(), plain(text, "en").split()) for given, text in pairs]
    return sum(word_errors(given, text) for given, text in words) / sum(len(given) for given, _ in words)


def main() -> None:
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    recordings = list(cut_recordings(context_s=transcribe.Settings().context_s, keep_empty=True))
    english = [r for r in recordings if r.language == "en"][::every]
    foreign = [r for r in recordings if r.language not in ("en", "und", "en+zh") and r.waves][::every]
    empty = [r for r in english if r.text and not r.waves]
    english = [r for r in english if r.waves]
    written = [r for r in english if r.text]
    noises = list(sounds())
    seconds = sum(r.seconds for r in english)
    table = {}
    print(
        f"{len(english)} English recordings ({seconds:.0f} s, {len(written)} with a transcript), {len(foreign)} others"
    )
    print(f"{len(empty)} more with a transcript are too short for a segment")
    print(f"{len(noises)} sounds; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}")
    for name, texts in ways().items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        began = time.process_time()
        made: dict[str, str] = {r.file: texts(r.waves) for r in english}
        speed = seconds / (time.process_time() - began)
        others = foreign if name in BY_LANGUAGE else foreign[::SOME]
        invented: list[CutRecording] = [r for r in others if texts(r.waves).strip()]
        pairs = [(r.text, made[r.file]) for r in written]
        table[name] = {
            "wer": error_rate([*pairs, *((r.text, "") for r in empty)]),
            "wer of segments": error_rate(pairs),
            "x real time": speed,
            "english with a text": sum(bool(text.strip()) for text in made.values()),
            "others with a text": len(invented),
            "sounds with a text": [sound for sound, wave in noises if texts([wave]).strip()],
        }
        print(f"{name:20} WER {table[name]['wer']:.2%} ({table[name]['wer of segments']:.2%} with a segment), "
              f"{speed:.1f} x real time, a text for "
              f"{table[name]['english with a text']}/{len(english)} English, {len(invented)}/{len(others)} others, "
              f"{len(table[name]['sounds with a text'])}/{len(noises)} sounds", flush=True)  # fmt: skip
    out = ROOT / "bench/asr.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(table))


if __name__ == "__main__":
    main()
