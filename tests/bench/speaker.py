"""Benchmark of voices: error rates by language, wrong speakers and joined speakers found, clean segments lost, speed.

`python tests/bench/speaker.py`: every recording of ../shared/speech/recordings as `slice` cuts it, without transcripts.
Verification: pairs of segments of 2 s or more, of one speaker and of two of one language, from different files where
there are: equal error rate by language. Wrong speaker: in every folder with enough speech one segment (or a tenth) is
replaced by another speaker's of the language; rates at the default margins, and a ROC over the margin. Two speakers:
two segments of 1.5 to 8 s at one level, joined; rates at the default and a ROC. The figures of
two halves of the speakers (`tune`, `held out`) show how they vary; the default margins were chosen while looking at
both. Folders that hold several people are left out: `MIXED`.
Tables, and bench/speaker.json.
"""

import json
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cut_speech import cut_recordings

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.device import place
from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.comparison import enrol, unit, voice_change
from voicemill.model.speaker.encoder import RATE, Encoder, Vectors
from voicemill.tasks.contract.voices import LEAST_S, LEAST_SEGMENTS
from voicemill.tasks.stages.speaker import Settings, margin_of

OUT = Path("bench/speaker.json")
MIXED = {
    "ami_meeting", "voxconverse_aepyx", "pyaa_diar", "pico_diar", "watson_dutch_duo_2", "watson_en-US_1",
    "watson_en-US_2", "librivox_fr_duo", "azure_conv", "azure_mix", "musan_mix", "silero_test", "curator_1",
    "curator_2",
}  # fmt: skip
"""Folders that hold several voices (conversations, interviews, mixtures), or of which it is not known."""
LANGUAGES = ("en", "zh", "de")
GROUP = 64


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """One segment."""

    speaker: str
    file: str
    language: str
    wave: Any
    """float32 [samples], 16 kHz."""
    windows: Vectors

    @property
    def seconds(self) -> float:
        return len(self.wave) / RATE

    @property
    def vector(self) -> Vectors:
        return unit(self.windows.mean(0))

    @property
    def half(self) -> str:
        return "tune" if zlib.crc32(self.speaker.encode()) % 2 else "held out"


def embed(encoder: Encoder, waves: Sequence[Any]) -> list[Vectors]:
    return [rows for at in range(0, len(waves), GROUP) for rows in encoder.embed_windows(waves[at : at + GROUP])]


def area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Share of pairs in which the positive one is larger."""
    p, n = np.asarray(positive), np.asarray(negative)
    return float(np.mean(p[:, None] > n) + 0.5 * np.mean(p[:, None] == n)) if len(p) and len(n) else float("nan")


def equal_error(same: Sequence[float], other: Sequence[float]) -> float:
    thresholds = np.unique([*same, *other])
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    alarms = 1 - np.searchsorted(np.sort(other), thresholds) / len(other)
    at = int(np.argmin(np.abs(missed - alarms)))
    return float((missed[at] + alarms[at]) / 2)


def verification(segments: Sequence[Spoken]) -> dict[str, dict[str, float]]:
    table = {}
    for language in (*LANGUAGES, "others"):
        rows = [
            s for s in segments if s.seconds >= 2 and (s.language if s.language in LANGUAGES else "others") == language
        ]
        by_speaker: dict[str, list[Spoken]] = defaultdict(list)
        for row in rows:
            by_speaker[row.speaker].append(row)
        chosen = [row for group in by_speaker.values() for row in group[:12]]
        vectors = np.stack([row.vector for row in chosen])
        similar, same, other = vectors @ vectors.T, [], []
        for i, a in enumerate(chosen):
            for j in range(i):
                b = chosen[j]
                if a.speaker != b.speaker:
                    other.append(float(similar[i, j]))
                elif a.file != b.file or len({row.file for row in by_speaker[a.speaker]}) == 1:
                    same.append(float(similar[i, j]))
        if same and other:
            error = equal_error(same, other)
            table[language] = {"speakers": len(by_speaker), "same": len(same), "other": len(other), "eer": error}
    return table


def wrong_speaker(segments: Sequence[Spoken], seed: int = 0) -> list[dict[str, Any]]:
    """One row for each comparison: how far the similarity lies under the median of the folder."""
    rng, rows = np.random.default_rng(seed), []
    folders: dict[str, list[Spoken]] = defaultdict(list)
    for segment in segments:
        folders[segment.speaker].append(segment)

    def judge(members: list[Spoken], at: Sequence[int], wrong: bool, folder: Spoken) -> None:
        reference, alone = enrol(np.stack([m.vector for m in members]), [m.seconds for m in members])
        for k in at:
            own = members[k].seconds if alone[k] >= reference.typical - 0.15 else 0.0
            if reference.seconds - own >= LEAST_S and reference.segments - bool(own) >= LEAST_SEGMENTS:
                drop = reference.typical - float(alone[k])
                rows.append(
                    {"speaker": folder.speaker, "half": folder.half, "language": folder.language, "wrong": wrong,
                     "seconds": members[k].seconds, "drop": drop, "similarity": float(alone[k])}
                )  # fmt: skip

    for speaker, members in folders.items():
        if len(members) <= LEAST_SEGMENTS:
            continue
        judge(members, range(len(members)), False, members[0])
        others = [s for s in segments if s.speaker != speaker and s.language == members[0].language]
        for _ in range(40 if others else 0):
            at = rng.choice(len(members), max(1, len(members) // 10), replace=False)
            swapped = list(members)
            for k in at:
                swapped[k] = others[rng.integers(len(others))]
            judge(swapped, at[:1], True, members[0])
    return rows


def joined(segments: Sequence[Spoken], encoder: Encoder, count: int = 500, seed: int = 0) -> list[dict[str, Any]]:
    """Segments of two speakers of one language, joined: score of the change."""
    rng, long = np.random.default_rng(seed), [s for s in segments if s.seconds >= 1.5]
    rows, waves = [], []
    while len(rows) < count:
        a = long[rng.integers(len(long))]
        others = [s for s in long if s.language == a.language and s.speaker != a.speaker]
        if not others:
            continue
        b = others[rng.integers(len(others))]
        first, second = (s.wave[: int(rng.uniform(1.5, 8) * RATE)] for s in (a, b))
        level = np.sqrt(np.mean(first**2) / max(np.mean(second**2), 1e-12))
        waves.append(np.concatenate([first, second * level]).astype(np.float32))
        shorter = min(len(first), len(second)) / RATE
        rows.append({"half": a.half, "language": a.language, "shorter": shorter})
    return [row | {"change": voice_change(w)} for row, w in zip(rows, embed(encoder, waves), strict=True)]


def share(flags: Sequence[bool]) -> str:
    return f"{100 * np.mean(flags):.2f} % of {len(flags)}" if len(flags) else "-"


def main() -> None:
    encoder, settings = Encoder.load(SPEAKER.path("pretrained.pt"), place("cpu").dtype), Settings()
    cut = [(r, to_16_khz(w)) for r in cut_recordings() if r.speaker not in MIXED for w in r.waves]
    began = time.process_time()
    windows = embed(encoder, [wave for _, wave in cut])
    speed = sum(len(wave) for _, wave in cut) / RATE / (time.process_time() - began)
    segments = [
        Spoken(speaker=r.speaker, file=r.file, language=r.language, wave=wave, windows=rows)
        for (r, wave), rows in zip(cut, windows, strict=True)
    ]
    print(
        f"{len(segments)} segments of {len({s.speaker for s in segments})} speakers; {speed:.0f} x real time per core"
    )
    table = verification(segments)
    for language, row in table.items():
        pairs = f"{row['same']} + {row['other']} pairs"
        print(f"EER {language:6s} {100 * row['eer']:5.1f} %  {row['speakers']} speakers, {pairs}")
    swaps, joins = wrong_speaker(segments), joined(segments, encoder)
    clean = [{"half": s.half, "language": s.language, "change": voice_change(s.windows)} for s in segments]
    flagged = lambda r: r["drop"] > margin_of(settings, r["language"], r["seconds"])  # noqa: E731
    print("\nwrong speaker        AUC    found              clean lost")
    auc = {}
    for name, keep in [(h, h) for h in ("tune", "held out")] + [(lang, lang) for lang in LANGUAGES] + [("all", "")]:
        rows = [r for r in swaps if keep in ("", r["half"], r["language"])]
        bad, good = [r for r in rows if r["wrong"]], [r for r in rows if not r["wrong"]]
        auc[name] = area([r["drop"] for r in bad], [r["drop"] for r in good])
        print(f"{name:18s} {auc[name]:.4f}  {share(list(map(flagged, bad))):18s} {share(list(map(flagged, good)))}")
    print("ROC over the margin (found / clean lost, %):")
    for extra in (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.08, 0.12):
        over = [
            [r["drop"] > margin_of(settings, r["language"], r["seconds"]) + extra for r in swaps if r["wrong"] is w]
            for w in (True, False)
        ]
        print(f"  {settings.margin + extra:.2f}: {100 * np.mean(over[0]):.2f} / {100 * np.mean(over[1]):.2f}")
    print("\ntwo speakers         AUC    found              found, 2.5 s each   clean lost")
    for name, keep in [(h, h) for h in ("tune", "held out")] + [(lang, lang) for lang in LANGUAGES] + [("all", "")]:
        bad = [r for r in joins if keep in ("", r["half"], r["language"])]
        good = [r for r in clean if keep in ("", r["half"], r["language"])]
        auc[f"joined, {name}"] = area([r["change"] for r in bad], [r["change"] for r in good])
        long = [r["change"] > settings.max_change for r in bad if r["shorter"] >= 2.5]
        found, lost = ([r["change"] > settings.max_change for r in rows] for rows in (bad, good))
        print(f"{name:18s} {auc[f'joined, {name}']:.4f}  {share(found):18s} {share(long):18s}  {share(lost)}")
    print("ROC over the score (found / clean lost, %):")
    for score in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6):
        over = [[r["change"] > score for r in rows] for rows in (joins, clean)]
        print(f"  {score:.2f}: {100 * np.mean(over[0]):.2f} / {100 * np.mean(over[1]):.2f}")
    OUT.parent.mkdir(exist_ok=True)
    result = {"speed": speed, "eer": table, "auc": auc, "swaps": swaps, "joins": joins, "clean": clean}
    OUT.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
