"""A second witness for texts in Chinese and German, measured and not in the product: phones heard by Whisper's encoder.

`python tests/bench/phone_witness.py [most]`: how far the path of a text falls short of that of any phones (Witt and
Young, Speech Communication 30, 2000), for the right and wrong texts of `text_witness.py`, by the network of
`phone_network.py`; most: recordings of a speaker, default 75.
Of the speaker with most recordings (aishell_S0150, kerstin) each quarter is measured with what the other three and the
other speakers taught; every other speaker is measured with what that one alone taught.
Printed: the least measures of right texts, the highest of each wrong kind, and the share that LIMITS would refuse.
Table, and bench/phone_witness.json.
"""

import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cut_speech import CutRecording, cut_recordings
from phone_network import Ears, Floats, Ints, Regression, listen, with_wild
from text_witness import CALIBRATED, LONGEST, few, texts

from voicemill.model.aligner import hmm

OUT = Path("bench/phone_witness.json")
MOST, QUARTERS, RUN, ENTRY = 14, 4, 8, -1.0
"""English recordings of a speaker; phones of the shortest run of words; log price of a phone on the path of any."""
LIMITS = {"mean": -1.3, "run": -2.1, "phones": 0.63, "pause": -1.2}
"""Least measures of a right text (`measures`), chosen on the Chinese recordings."""


def measures(scores: Floats, numbers: Sequence[Sequence[int]], free: tuple[Ints, Floats]) -> dict[str, float]:
    """How a text fits, 0 at best: log ratio of a frame to any phones, its mean over all words and over the worst run
    of them; its sum over the worst pause, in hundreds; and the phones of the text over those that are heard."""
    text, (path, best) = hmm.chain(numbers), free
    if not any(numbers) or hmm.shortest(text) + 2 > len(scores):
        return {"mean": -99.0, "run": -99.0, "phones": 1.0, "pause": 0.0}
    wide = with_wild(scores)
    position = hmm.align(wide, text)
    ratios = wide[np.arange(len(wide)), text.states[position]] - best
    owners = text.words[position]
    own = [(len(phones), ratios[owners == at]) for at, phones in enumerate(numbers) if phones]
    counts = np.cumsum([0, *(count for count, _ in own)])
    worst = 0.0
    for first in range(len(own)):
        stop = int(np.searchsorted(counts, counts[first] + RUN))
        if stop > len(own) and first:
            break
        worst = min(worst, float(np.concatenate([part for _, part in own[first:stop]]).mean()))
    starts = path[np.flatnonzero(np.diff(path, prepend=-1))]
    heard = int(((starts != hmm.SILENCE) & ((starts - 1) % hmm.STATES == 0)).sum())
    edges = np.flatnonzero(np.diff(owners < 0, prepend=False, append=False))
    pauses = [float(ratios[start:stop].sum()) / 100 for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    mean = float(np.concatenate([part for _, part in own]).mean())
    phones = float(counts[-1]) / max(heard, 1)
    return {"mean": mean, "run": worst, "phones": phones, "pause": min(pauses, default=0.0)}


def measured(ears: Ears, language: str, clips: Sequence[CutRecording], most: int) -> dict[bool, list[dict[str, Any]]]:
    """Side (whether limits are chosen on it) -> kind of text with its measures."""
    own = [clip for clip in clips if clip.speaker in CALIBRATED]
    rest = [clip for clip in clips if clip.speaker not in CALIBRATED]
    quarter = {clip.file: at * QUARTERS // len(own) for at, clip in enumerate(own)}  # neighbours have words in common
    models: dict[int, Regression] = {-1: ears.teach(own, language)}
    for number in range(QUARTERS):
        models[number] = ears.teach([c for c in own if quarter[c.file] != number] + rest, language)
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    chosen = few([clip for clip in clips if clip.seconds <= LONGEST], most)
    for clip in chosen:
        model = models[quarter.get(clip.file, -1)]
        scores = model.scores(ears.units[clip.file])
        free = hmm.free(scores, ENTRY)
        for kind, words in texts(clip, chosen, random.Random(clip.file)).items():
            values = measures(scores, model.inventory.numbers(words, language), free)
            rows[clip.file in quarter].append({"kind": kind, "file": clip.file, "speaker": clip.speaker, **values})
    return rows


def table(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines: of each kind the number, the share under a limit, and the extreme of each measure."""
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    lines = []
    for kind, own in by_kind.items():
        extreme = min if kind == "right" else max
        refused = np.mean([any(row[name] < limit for name, limit in LIMITS.items()) for row in own])
        values = " ".join(f"{name} {extreme(row[name] for row in own):.2f}" for name in LIMITS)
        lines.append(
            f"{kind:28} {len(own):3} refused {refused:6.1%}; {'least' if kind == 'right' else 'most'} {values}"
        )
        if kind == "right":
            lost = [row for row in own if any(row[name] < limit for name, limit in LIMITS.items())]
            lines += [f"  lost: {row['file']} " + " ".join(f"{n} {row[n]:.2f}" for n in LIMITS) for row in lost]
    return lines


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 75
    start, results = time.process_time(), dict[str, list[dict[str, Any]]]()
    clips = [c for c in cut_recordings() if c.text and c.seconds <= 20 and c.language in ("en", "zh", "de")]
    english = few([clip for clip in clips if clip.language == "en"], MOST)
    others = [clip for clip in clips if clip.language != "en"]
    ears = listen([*english, *others])
    print(f"{len(english)} English recordings, {time.process_time() - start:.0f} s of processor", flush=True)
    for language in ("zh", "de"):
        sides = measured(ears, language, [clip for clip in others if clip.language == language], most)
        for side, rows in sides.items():
            print(language, "calibrated on" if side else "others", flush=True)
            print("\n".join(table(rows)), flush=True)
            results[f"{language} {'calibrated on' if side else 'others'}"] = rows
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
