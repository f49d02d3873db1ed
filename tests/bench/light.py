"""Benchmark: the light system beside the undistilled voice. `python tests/bench/light.py [--threads 2] [--repeats 7]`

Some 5 s of speech, networks of the default size, random weights: the output is noise, the cost is real. The
light system in PyTorch (float32, and as `voicemill speak` takes it) and as graphs of ONNX Runtime (float32, and 8 bits:
LSTM and linear layers): each part, and the whole as `LightVoice.speak` runs it, text front end and watermark
included. s1 and s2 of GPT-SoVITS's size synthesise as much with the engines that `voicemill speak` takes. All in turns
in one run: medians of wall clock over the seconds spoken, least times and the processor's beside them, because a busy
machine weighs on the first. Prints two tables, writes bench/light.json.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.golden import fill, inp  # noqa: E402

from voicemill.model.audio.mel import LogMel  # noqa: E402
from voicemill.model.checkpoints.writing import write  # noqa: E402
from voicemill.model.device import place  # noqa: E402
from voicemill.model.export.exporting import export_voice  # noqa: E402
from voicemill.model.export.light_voice import OnnxLightVoice  # noqa: E402
from voicemill.model.light.system import PARTS, LightSystem, load_light  # noqa: E402
from voicemill.model.light.voice import LightVoice  # noqa: E402
from voicemill.model.s1.config import S1Config  # noqa: E402
from voicemill.model.s1.decoder import Text2Semantic  # noqa: E402
from voicemill.model.s1.engines import engine  # noqa: E402
from voicemill.model.s1.generate import Sampling, generate  # noqa: E402
from voicemill.model.s1.prefix import Prefix  # noqa: E402
from voicemill.model.s2.config import S2Config  # noqa: E402
from voicemill.model.s2.inference import prepare  # noqa: E402
from voicemill.model.s2.synthesizer import Synthesizer  # noqa: E402
from voicemill.model.speaking.pieces import line_of  # noqa: E402

TEXT = "She walked along the river in the morning, and the birds sang in the trees."
CODES, PHONES, PROMPT, TARGET = 126, 110, 125, 70
"""Codes of the sentence, as in `speak.py`: 5.04 s."""
OUT = Path("bench/light.json")
Case = tuple[float, Callable[[], object]]
"""Name -> seconds of speech that a part synthesises or reads, and the call."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    system = LightSystem(trained=PARTS)
    with tempfile.TemporaryDirectory() as work, torch.inference_mode():
        file = Path(work, "light.safetensors")
        write(file, system.checkpoint())
        weights = {"light": file}
        voices = {"float32": LightVoice(load_light(file), "float32", "cpu")}
        voices["bfloat16"] = LightVoice(load_light(file), "bfloat16", "cpu")
        folders = {precision: Path(work, precision) for precision in ("float32", "int8")}
        for precision, folder in folders.items():
            graphs = export_voice(weights, folder, precision)  # type: ignore[arg-type]
            voices[f"ONNX, {precision}"] = OnnxLightVoice(graphs, options.threads)
        cases = {(name, part): case for name, voice in voices.items() for part, case in _parts(voice).items()}
        cases |= _undistilled()
        times = _timed(cases, options.repeats)
        sizes = {part: _counted(getattr(system, part)) for part in PARTS}
        whole = {"torch": file.stat().st_size} | {name: _bytes(folder) for name, folder in folders.items()}
    seconds = cases["float32", "whole"][0]
    print(f"{options.threads} threads, {seconds:.2f} s of speech from {len(line_of(TEXT, 'en').phones)} phones")
    print(f"{'':<14}{'parameters':>12}")
    for part, count in {**sizes, "all": sum(sizes.values())}.items():
        print(f"{part:<14}{count:>12,}")
    print(
        f"bytes: {whole['torch']:,} in the file, {whole['float32']:,} as graphs, {whole['int8']:,} as graphs of 8 bits"
    )
    print(f"{'real-time factor':<24}{'part':<16}{'median':>9}{'least':>9}{'processor':>11}")
    for (name, part), row in times.items():
        print(f"{name:<24}{part:<16}{row['median']:>9.4f}{row['least']:>9.4f}{row['processor']:>11.4f}")
    OUT.parent.mkdir(exist_ok=True)
    rows = [{"way": name, "part": part} | row for (name, part), row in times.items()]
    OUT.write_text(json.dumps({"parameters": sizes, "bytes": whole, "times": rows}, indent=2))


def _parts(voice: LightVoice) -> dict[str, Case]:
    """Parts of the system. Work done once per voice counts per second of its reference, all else per second spoken."""
    heard = np.random.default_rng(0).normal(0, 0.1, 5 * 32_000).astype(np.float32)
    mel = LogMel().mel(torch.from_numpy(heard)[None])
    reference = voice.reference([heard])
    phones = line_of(TEXT, "en").phones
    made = voice.acoustic.speak(phones, reference.embedding)
    spoken = made.shape[-1] / 50
    return {
        "speaker": (5.0, lambda: voice.speaker.embed(mel)),
        "acoustic": (spoken, lambda: voice.acoustic.speak(phones, reference.embedding)),
        "vocoder": (spoken, lambda: voice.vocoder(made[None])),
        "whole": (spoken, lambda: voice.speak(TEXT, reference)),
    }


def _undistilled() -> dict[tuple[str, str], Case]:
    s1, s2 = Text2Semantic(S1Config()), Synthesizer(S2Config(), posterior=False)
    s1.load_state_dict(fill(s1.state_dict(), "model."))
    s2.load_state_dict(fill(s2.state_dict()))
    with torch.no_grad():  # a logit of 0 is not among the 15 highest: all codes are spoken
        s1.ar_predict_layer.weight[-1] = 0
    first, second = engine(s1.eval(), "auto"), prepare(s2.eval(), place("cpu"))
    generator = torch.Generator().manual_seed(0)
    phones = torch.randint(732, (PHONES,), generator=generator)
    prefix = Prefix(phones, torch.randint(1024, (PROMPT,), generator=generator))
    ge = second.reference([inp("s2.refer", (1, 1025, 200)).abs()])

    def speak() -> None:
        (said,) = generate(first, [prefix], Sampling(), [0], CODES)
        second.decode(said.codes[None], phones[None, -TARGET:], ge, noise_scale=0)

    return {("s1 and s2, undistilled", "whole"): (CODES / 25, speak)}


def _timed(cases: dict[tuple[str, str], Case], repeats: int) -> dict[tuple[str, str], dict[str, float]]:
    """Real-time factors, measured in turns after a warm-up."""
    walls: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    used: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    for repeat in range(repeats + 1):
        for key, (seconds, work) in cases.items():
            began, before = time.perf_counter(), time.process_time()
            work()
            if repeat:
                walls[key].append((time.perf_counter() - began) / seconds)
                used[key].append((time.process_time() - before) / seconds)
    return {
        key: {"median": median(wall), "least": min(wall), "processor": median(used[key])} for key, wall in walls.items()
    }


def _counted(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
