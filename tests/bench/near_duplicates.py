"""The audio fingerprint on real speech: changed copies found, different recordings kept apart, bytes and cost.

    python tests/bench/near_duplicates.py [every] [parity]

The index holds all recordings of ../shared/speech/recordings. Copies are made of every `every`-th (default 1) of every
second speaker; `parity` 1 (default) is the half that nothing was chosen on, 0 the other, 2 both. Of a recording the
first 12 s are taken. Speech: frames that WebRTC takes for it. Found: a match names the recording, covers most of the
copy, and its offset is right within 0.12 s, the delay of the codec included. Joined: two such parts, one behind the
other; the ends of both matches.
Prints tables and writes bench/near_duplicates.json.
"""

import csv
import difflib
import io
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfilt

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from voicemill.model.audio.fingerprint import LAST, STEP, Wave, fingerprint, pack, peaks  # noqa: E402
from voicemill.model.audio.fingerprint_index import Index, Match  # noqa: E402
from voicemill.model.audio.vad import speech_probability  # noqa: E402
from voicemill.storage.units import RATE  # noqa: E402

RECORDINGS = ROOT / "../shared/speech/recordings"
LONGEST = 12
"""Seconds of a recording that are copied."""
COLLAR = 0.3
"""Seconds by which the end of a match may be off."""
Change = Callable[[Wave, np.random.Generator], Wave]


def load(file: str) -> Wave:
    wave, rate = soundfile.read(RECORDINGS / file, dtype="float32", always_2d=True)
    result: Wave = soxr.resample(wave.mean(1), rate, RATE)
    return result


def coded(codec: str, container: str, rate: int, bits: int) -> Change:
    """Through an encoder of FFmpeg and back."""

    def change(wave: Wave, _: np.random.Generator) -> Wave:
        low = soxr.resample(wave, RATE, rate)
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=container) as file:
            stream: Any = file.add_stream(codec, rate=rate)
            stream.layout, stream.bit_rate = "mono", bits
            samples = (np.clip(low, -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = rate
            resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
            for piece in (*resampler.resample(frame), *resampler.resample(None), None):
                file.mux(stream.encode(piece))
        buffer.seek(0)
        with av.open(buffer) as file:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            pieces = [piece for frame in file.decode(audio=0) for piece in resampler.resample(frame)]
            return np.concatenate([piece.to_ndarray()[0] for piece in (*pieces, *resampler.resample(None))])

    return change


def stored(subtype: str) -> Change:
    """At 8 kHz in a WAV of the subtype and back."""

    def change(wave: Wave, _: np.random.Generator) -> Wave:
        buffer = io.BytesIO()
        soundfile.write(buffer, soxr.resample(wave, RATE, 8000), 8000, format="WAV", subtype=subtype)
        buffer.seek(0)
        result: Wave = soxr.resample(soundfile.read(buffer, dtype="float32")[0], 8000, RATE)
        return result

    return change


def at_rate(rate: int) -> Change:
    return lambda wave, _: soxr.resample(soxr.resample(wave, RATE, rate), rate, RATE)


def trimmed(front: float, behind: float) -> Change:
    return lambda wave, _: wave[round(front * RATE) : len(wave) - round(behind * RATE)]


def noisy(wave: Wave, rng: np.random.Generator) -> Wave:
    noise: Wave = rng.normal(0, 0.1 * np.sqrt(np.mean(np.square(wave))), len(wave)).astype(np.float32)
    return wave + noise


def high_passed(wave: Wave, _: np.random.Generator) -> Wave:
    result: Wave = sosfilt(butter(4, 80, "high", fs=RATE, output="sos"), wave).astype(np.float32)
    return result


def normalised(wave: Wave, _: np.random.Generator) -> Wave:
    """-16 LUFS, with a limiter's soft knee at the top."""
    import pyloudnorm

    padded = np.pad(wave, (0, max(0, RATE // 2 - len(wave))))
    gain = 10 ** ((-16 - pyloudnorm.Meter(RATE).integrated_loudness(padded)) / 20)
    return np.tanh(np.clip(gain, 0, 1e3) * wave).astype(np.float32)


CHANGES: dict[str, tuple[Change, float]] = {
    "mp3 32 kbit/s": (coded("libmp3lame", "mp3", 16_000, 32_000), 0),
    "mp3 64 kbit/s": (coded("libmp3lame", "mp3", 44_100, 64_000), 0),
    "mp3 128 kbit/s": (coded("libmp3lame", "mp3", 44_100, 128_000), 0),
    "opus 12 kbit/s": (coded("libopus", "ogg", 48_000, 12_000), 0),
    "opus 24 kbit/s": (coded("libopus", "ogg", 48_000, 24_000), 0),
    "opus 64 kbit/s": (coded("libopus", "ogg", 48_000, 64_000), 0),
    "aac 32 kbit/s": (coded("aac", "adts", 22_050, 32_000), 0),
    "aac 64 kbit/s": (coded("aac", "adts", 44_100, 64_000), 0),
    "mu-law 8 kHz": (stored("ULAW"), 0),
    "A-law 8 kHz": (stored("ALAW"), 0),
    "GSM 06.10": (stored("GSM610"), 0),
    "-20 dB": (lambda wave, _: wave * np.float32(0.1), 0),
    "+6 dB": (lambda wave, _: wave * 2, 0),
    "6 dB clipped": (lambda wave, _: np.clip(wave * np.float32(2 / max(1e-9, np.abs(wave).max())), -1, 1), 0),
    **{f"{rate} Hz": (at_rate(rate), 0.0) for rate in (8000, 11_025, 16_000, 22_050, 44_100, 48_000)},
    **{f"without the first {cut} s": (trimmed(cut, 0), cut) for cut in (0.37, 1.01, 2.5)},
    **{f"without the last {cut} s": (trimmed(0, cut), 0.0) for cut in (0.37, 1.01, 2.5)},
    "noise at 20 dB": (noisy, 0),
    "high-pass 80 Hz": (high_passed, 0),
    "-16 LUFS, limited": (normalised, 0),
}
if "libopencore_amrnb" in av.codecs_available:
    CHANGES |= {
        f"AMR {bits / 1000} kbit/s": (coded("libopencore_amrnb", "amr", 8000, bits), 0) for bits in (12_200, 4750)
    }


def speech_seconds(wave: Wave) -> float:
    return float(speech_probability([wave], "webrtc", 2, 0.0, 1.0).sum() / 100)


def speech_between(wave: Wave, first: float, second: float) -> float:
    low, high = sorted((max(0.0, first), max(0.0, second)))
    return speech_seconds(wave[round(low * RATE) : round(high * RATE)])


def other_tempi(prints: list[bytes], hours: float) -> Iterator[bytes]:
    """Fingerprints of `hours` in all, as if the recordings had been played at other speeds."""
    total = 0.0
    for turn in range(10_000):
        factor = 0.72 + 0.0137 * turn if turn < 18 else 1.04 + 0.0137 * (turn - 18)
        for data in prints:
            length, times, bins = peaks(data)
            bins = np.round((bins + 16) * factor).astype(np.int64) - 16
            inside = (bins >= 0) & (bins < LAST - 16)
            yield pack(round(length / factor), np.round(times / factor).astype(np.int64)[inside], bins[inside])
            total += length / factor * STEP
            if total > hours * 3600:
                return


def processor(job: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = job()
    return time.process_time() - began, result


def main() -> None:
    if not RECORDINGS.exists():
        print("../shared/speech is not here: nothing to measure")
        return
    every, parity = (
        (int(value) for value in [*sys.argv[1:], "1", "1"][:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 1)
    )
    with (RECORDINGS / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    waves = [load(row["file"]) for row in rows]
    seconds = sum(map(len, waves)) / RATE
    fingerprint(waves[0])
    took, prints = processor(lambda: [fingerprint(wave) for wave in waves])
    result: dict[str, Any] = {
        "bytes per second": sum(map(len, prints)) / seconds,
        "most bytes per second": max(len(data) * RATE / len(wave) for data, wave in zip(prints, waves, strict=True)),
        "ms per second": 1000 * took / seconds,
    }
    took, index = processor(lambda: Index(enumerate(prints)))
    print(
        f"{len(waves)} recordings, {seconds / 60:.1f} min:", {name: round(value, 2) for name, value in result.items()}
    )

    found = [(at, match) for at, data in enumerate(prints) for match in index.find(data) if match.key != at]
    result["different recordings"] = [
        (rows[at]["file"], rows[match.key]["file"], match.start, match.stop, match.score) for at, match in found
    ]
    pairs = len(waves) * (len(waves) - 1) // 2
    same = {frozenset((at, match.key)) for at, match in found}
    print(f"different recordings found as the same: {len(same)} of {pairs} pairs")
    for line in result["different recordings"]:
        print("  ", *line)
    repeats = list(repeated(rows))
    own = [pair for pair in repeats if rows[pair[0]]["speaker"] == rows[pair[1]]["speaker"]]
    hits = [pair for pair in repeats if frozenset(pair) in same]
    print(f"the same sentence twice: {len(repeats)} pairs, {len(own)} by one speaker; found {len(hits)}:")
    for pair in hits:
        print("  ", *(rows[at]["file"] for at in pair))
    result["repeats"] = {"pairs": len(repeats), "one speaker": len(own), "found": len(hits)}

    speakers = sorted({row["speaker"] for row in rows})
    half = set(speakers[parity::2] if parity < 2 else speakers)
    chosen = [at for at, row in enumerate(rows) if row["speaker"] in half and row["kind"] != "silence"][::every]
    result["copies"] = copies(chosen, waves, index)
    result["joined"] = joined(chosen, waves, index)
    result["cost"] = cost(prints, waves)
    target = ROOT / "bench" / "near_duplicates.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1), encoding="utf-8")


def repeated(rows: list[dict[str, str]]) -> Iterator[tuple[int, int]]:
    """Pairs of recordings with the same text, or within one speaker with nearly the same."""
    texts = [re.sub(r"[\W_]+", "", row["text"].lower()) for row in rows]
    for a, b in combinations(range(len(rows)), 2):
        if not texts[a] or not texts[b] or abs(len(texts[a]) - len(texts[b])) > 0.2 * len(texts[a]):
            continue
        one = rows[a]["speaker"] == rows[b]["speaker"]
        if texts[a] == texts[b] or (one and difflib.SequenceMatcher(None, texts[a], texts[b]).ratio() > 0.85):
            yield a, b


def copies(chosen: list[int], waves: list[Wave], index: Index[int]) -> dict[str, Any]:
    """Rates of each change: of copies with 3 s of speech or more, with 1 to 3 s, with less."""
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {}
    total: dict[str, list[bool]] = defaultdict(list)
    for name, (change, cut) in CHANGES.items():
        groups: dict[str, list[bool]] = {"long": [], "short": [], "tiny": []}
        missed = []
        for at in chosen:
            wave = change(waves[at][: LONGEST * RATE], rng)
            if len(wave) < RATE // 4:
                continue
            speech = speech_seconds(trimmed(cut, 0)(waves[at][: LONGEST * RATE], rng)[: len(wave)])
            matches = index.find(fingerprint(wave))
            right = bool(matches) and any(is_copy(match, at, cut, len(wave) / RATE) for match in matches)
            group = "long" if speech >= 3 else "short" if speech >= 1 else "tiny"
            groups[group].append(right)
            total[group].append(right)
            if group == "long" and not right:
                missed.append((at, [(m.key, round(m.start, 2), round(m.stop, 2), round(m.score)) for m in matches][:3]))
        table[name] = {group: (sum(values), len(values)) for group, values in groups.items()}
        print(
            f"{name:24s}",
            *(f"{group} {sum(v):4d} of {len(v):4d}" for group, v in groups.items()),
            *missed[:4],
            flush=True,
        )
    table["all"] = {group: (sum(values), len(values)) for group, values in total.items()}
    print("all", {group: f"{sum(v)} of {len(v)} = {np.mean(v):.2%}" for group, v in total.items()}, flush=True)
    return table


def is_copy(match: Match[int], at: int, cut: float, length: float) -> bool:
    near = abs(match.other_start - match.start - cut) < 0.12
    return match.key == at and near and match.stop - match.start > 0.5 * length


def joined(chosen: list[int], waves: list[Wave], index: Index[int]) -> dict[str, Any]:
    """Two recordings joined: both found, and the ends of their stretches."""
    long = [at for at in chosen if speech_seconds(waves[at][: LONGEST * RATE]) >= 3]
    both, errors = 0, []
    for first, second in zip(long, long[1:] + long[:1], strict=True):
        parts = [waves[at][: LONGEST * RATE] for at in (first, second)]
        wave = np.concatenate(parts)
        border = len(parts[0]) / RATE
        truth = {first: (0.0, border), second: (border, len(wave) / RATE)}
        best: dict[int, Match[int]] = {}
        for match in index.find(fingerprint(wave)):
            best.setdefault(match.key, match)
        both += first in best and second in best
        for key, (start, stop) in truth.items():
            if key in best:
                # an end inside a pause is as good as the border: what lies between is no speech
                errors += [
                    (abs(is_ - was), speech_between(wave, is_, was))
                    for is_, was in ((best[key].start, start), (best[key].stop, stop))
                ]
    off = np.array(errors)
    table = {
        "pairs": len(long),
        "both": both,
        "within 0.3 s": float(np.mean(off[:, 0] <= COLLAR)),
        "within 0.3 s of speech": float(np.mean(np.minimum(off[:, 0], off[:, 1]) <= COLLAR)),
        "median s": float(np.median(off[:, 0])),
        "95 % s": float(np.percentile(off[:, 0], 95)),
    }
    print("joined", {name: round(value, 3) for name, value in table.items()}, flush=True)
    return table


def cost(prints: list[bytes], waves: list[Wave]) -> dict[str, float]:
    """Building an index of 50 hours, and queries of 10 s against it."""
    crowd = list(other_tempi(prints, 50))
    took, index = processor(lambda: Index(enumerate(crowd)))
    queries = [fingerprint(wave[: 10 * RATE]) for wave in waves if len(wave) > 10 * RATE]
    spent, found = processor(lambda: [index.find(data) for data in queries])
    table = {
        "uploads": len(crowd),
        "build s": took,
        "MB": index.nbytes / 1e6,
        "ms per query of 10 s": 1000 * spent / len(queries),
        "false": sum(map(bool, found)),
    }
    print("50 hours", {name: round(value, 2) for name, value in table.items()})
    return table


if __name__ == "__main__":
    main()
