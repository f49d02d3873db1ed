"""HuBERT-base at its real size (random weights): speed and fidelity of `model.content.pretrained`. `python
tests/bench/hubert.py`

Against transformers in float32 and under bfloat16 autocast, on the same waves with the same threads, interleaved, so
that a load on the machine weighs on all alike. Wall clock: best and median of the repeats; CPU: seconds of all threads
of the process. Cosine: each frame against transformers in float32.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from voicemill.model.content.pretrained import Encoder, frames_of
from voicemill.model.device import place

ROOT = Path(__file__).parents[2]
SPEECH = ROOT.parent / "shared" / "speech"
Wave = NDArray[np.float32]


def waves(count: int, seconds: float) -> list[Wave]:
    """16 kHz speech in pieces of `seconds`, or noise where there is none."""
    n, found = int(seconds * 16_000), list[Wave]()
    for file in sorted((SPEECH / "recordings").glob("*/*.flac")):
        if soundfile.info(file).samplerate == 16_000 and soundfile.info(file).duration >= seconds:
            found.append(soundfile.read(file, dtype="float32", always_2d=True)[0][:n, 0])
        if len(found) == count:
            return found
    return [(0.1 * np.random.default_rng(i).standard_normal(n)).astype(np.float32) for i in range(count)]


def base() -> Any:
    """HuBERT-base with random weights, the same at every call."""
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    return HubertModel(HubertConfig()).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = place("cpu")
    print(f"{options.threads} threads; {chosen.reason}")
    heard = waves(4, options.seconds)
    reference, ours = base(), Encoder(base(), -1, chosen)

    def transformers(dtype: torch.dtype | None) -> None:
        with torch.inference_mode(), torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            reference(torch.from_numpy(np.stack(heard)))

    def front(wave: Wave) -> None:
        with torch.inference_mode():
            ours.front(torch.from_numpy(wave)[None], [len(wave)])

    cases: dict[str, Callable[[], object]] = {
        "transformers, float32, 4 together": lambda: transformers(None),
        "transformers, bf16 autocast, 4 together": lambda: transformers(torch.bfloat16),
        "voicemill.model.content.pretrained, one by one": lambda: [ours.encode([wave]) for wave in heard],
        "voicemill.model.content.pretrained, 4 together": lambda: ours.encode(heard),
        "voicemill.model.content.pretrained, front end alone": lambda: [front(wave) for wave in heard],
    }
    wall: dict[str, list[float]] = {name: [] for name in cases}
    cpu: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(options.repeats + 1):
        for name, work in cases.items():
            start, used = time.perf_counter(), time.process_time()
            work()
            if repeat:  # the first warms up
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - used)
    seconds = options.seconds * len(heard)
    rows = [
        {
            "case": name,
            "best": seconds / min(wall[name]),
            "median": seconds / float(np.median(wall[name])),
            "per_cpu_second": seconds / min(cpu[name]),
        }
        for name in cases
    ]
    print(f"{'times real time':42}{'best':>8}{'median':>8}{'per CPU second':>16}")
    for row in rows:
        print(f"{row['case']:42}{row['best']:8.1f}{row['median']:8.1f}{row['per_cpu_second']:16.1f}")
    with torch.inference_mode():
        expected = [reference(torch.from_numpy(wave)[None]).last_hidden_state[0].numpy() for wave in heard]
    cosines = np.concatenate([cosine(ours.encode([w])[0], e) for w, e in zip(heard, expected, strict=True)])
    print(f"cosine to float32 over {len(cosines)} frames: median {np.median(cosines):.5f}, least {cosines.min():.5f}")
    if len(cosines) != sum(frames_of(len(wave)) for wave in heard):
        raise SystemExit("frames are missing")
    out = ROOT / "bench" / "hubert.json"
    out.parent.mkdir(exist_ok=True)
    result = {"threads": options.threads, "placement": chosen.reason, "speed": rows}
    out.write_text(json.dumps(result | {"cosine": [float(np.median(cosines)), float(cosines.min())]}, indent=1))


def cosine(a: Wave, b: Wave) -> NDArray[np.float32]:
    result: NDArray[np.float32] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return result


if __name__ == "__main__":
    main()
