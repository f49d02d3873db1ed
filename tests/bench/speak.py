"""Benchmark: synthesis of one sentence, s1 and s2 together. `python tests/bench/speak.py [--threads 2] [--repeats 5]`

The case for which GPT-SoVITS needs 1.12 of real time on two cores: 110 phones, of which s1 reads all, a prompt of 125
codes, 126 codes to generate (5.04 s). Networks of the real size, weights by the golden rule. The plain modules in
float32 and the engines that `voicemill speak` takes, under PyTorch and as ONNX graphs, of the whole voice and of the
student that `voicemill distill` makes of it by default, and the light system (70 phones): all in turns in one run, so
that a load on the machine weighs on all alike. Also: seconds to the first half second of sound (s1 having said all;
"ahead": with a look-ahead of 0.32 s, and of the light system with its text front end), bytes of the weights, and the
error of the engines: the log-mel distance of the renderer to float32, for the same codes. (`s1_speed.py` measures the
error of the engine of s1 in its codes.) Then sentences of ten other lengths, as a user's are, each spoken once (cold:
nothing of that length was computed before) and once more (warm), with processor seconds: kernels that are compiled for
a length show there. Prints two tables, writes bench/speak.json.

Targets: student in 8 bits < 0.15 of real time, light < 0.05.
"""

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.golden import fill, inp  # noqa: E402

from voicemill.model.audio.mel import HOP, LogMel  # noqa: E402
from voicemill.model.checkpoints.sizes import KEY, header  # noqa: E402
from voicemill.model.device import Precision as DevicePrecision  # noqa: E402
from voicemill.model.device import convolves_bf16_faster, place  # noqa: E402
from voicemill.model.export.draft import Precision  # noqa: E402
from voicemill.model.export.exporting import write_light, write_s1, write_s2  # noqa: E402
from voicemill.model.export.folder import Manifest, new_folder, read_folder  # noqa: E402
from voicemill.model.export.light_voice import OnnxLightVoice  # noqa: E402
from voicemill.model.export.rendering import OnnxSynthesizer  # noqa: E402
from voicemill.model.export.running import OnnxEngine  # noqa: E402
from voicemill.model.light.system import PARTS, LightSystem  # noqa: E402
from voicemill.model.light.voice import LightReference, LightVoice  # noqa: E402
from voicemill.model.s1.cached import CachedEngine  # noqa: E402
from voicemill.model.s1.config import S1Config  # noqa: E402
from voicemill.model.s1.decoder import Text2Semantic  # noqa: E402
from voicemill.model.s1.engines import engine  # noqa: E402
from voicemill.model.s1.generate import Sampling, each_code, generate  # noqa: E402
from voicemill.model.s1.prefix import Engine, Prefix  # noqa: E402
from voicemill.model.s2.config import S2Config  # noqa: E402
from voicemill.model.s2.inference import Synthesis, prepare  # noqa: E402
from voicemill.model.s2.synthesizer import Synthesizer  # noqa: E402
from voicemill.model.settings.training import DistillSettings  # noqa: E402
from voicemill.model.speaking.blocks import latent_blocks  # noqa: E402
from voicemill.model.training.distil.students import small_config  # noqa: E402
from voicemill.storage.units import RATE  # noqa: E402

CODES, PHONES, PROMPT, TARGET = 126, 110, 125, 70
"""`TARGET`: phones of the new text alone, the ones that s2 reads."""
SECONDS = CODES / 25
LENGTHS = (23, 158, 48, 92, 37, 211, 61, 107, 74, 140)
AHEAD = 8
"""Look-ahead, codes."""
OUT = Path("bench/speak.json")
TEXT = "The old lighthouse stood above the harbour, and nobody had answered its letters for three weeks."
SPEAKER = torch.nn.functional.normalize(torch.ones(192), dim=0)


@dataclass(frozen=True, eq=False)
class Way:
    """One engine or system that synthesises the sentence."""

    voice: str
    name: str
    s1: Engine
    s2: Synthesis
    bytes: int
    """Size of the weights as they are stored, bytes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    distilling = DistillSettings()
    sizes = {
        "whole": (S1Config(), S2Config()),
        "student": (S1Config(layers=distilling.layers), small_config(S2Config(), distilling)),
    }
    with tempfile.TemporaryDirectory() as work:
        ways = [way for voice, size in sizes.items() for way in _ways(voice, *size, Path(work))]
        lights = _lights(Path(work))
    generator = torch.Generator().manual_seed(0)
    phones = torch.randint(732, (PHONES,), generator=generator)
    prefix = Prefix(phones, torch.randint(1024, (PROMPT,), generator=generator))
    spectrogram = inp("s2.refer", (1, 1025, 200)).abs()
    with torch.inference_mode():
        ge = {way: way.s2.reference([spectrogram]) for way in ways}
    target = phones[-TARGET:]
    lengths = _lengths([way for way in ways if "plain" not in way.name], prefix, target, ge)
    codes = {way: _say(way.s1, prefix) for way in ways}
    work_of: dict[tuple[object, str], Callable[[], object]] = {}
    for way in ways:
        work_of[way, "s1"] = lambda way=way: _say(way.s1, prefix)  # type: ignore[misc]
        work_of[way, "s2"] = lambda way=way: _render(way.s2, codes[way], target, ge[way])  # type: ignore[misc]
        work_of[way, "first s2"] = lambda way=way: _first(way.s2, codes[way], target, ge[way])  # type: ignore[misc]
        work_of[way, "ahead"] = lambda way=way: _ahead(way, prefix, target, ge[way])  # type: ignore[misc]
    for name, (voice, _) in lights.items():
        work_of[name, "first"] = lambda voice=voice: next(voice.stream(TEXT, LightReference(SPEAKER)))  # type: ignore[misc]
        work_of[name, "light"] = lambda voice=voice: _light(voice, target)  # type: ignore[misc]
    took = _timed(work_of, options.repeats)
    table = []
    for way in ways:
        plain = next(each for each in ways if each.voice == way.voice)
        exact = _render(plain.s2, codes[plain], target, ge[plain])
        wave = _render(way.s2, codes[plain], target, ge[way])
        row = {"voice": way.voice, "way": way.name, "engine": way.s1.name, "bytes": way.bytes}
        row |= {"s1_s": took[way, "s1"], "s2_s": took[way, "s2"]}
        row["real_time_factor"] = (took[way, "s1"] + took[way, "s2"]) / SECONDS
        row["first_sound_s"] = took[way, "s1"] + took[way, "first s2"]
        row["first_sound_ahead_s"] = took[way, "ahead"]
        row["log_mel_distance"] = _distance(wave, exact)
        table.append(row)
    for name, (voice, size) in lights.items():
        seconds = len(_light(voice, target)) / RATE
        row = {"voice": "light", "way": name, "bytes": size, "s2_s": took[name, "light"]}
        row["first_sound_ahead_s"] = took[name, "first"]
        table.append(row | {"real_time_factor": took[name, "light"] / seconds})
    print(f"{PHONES} phones, prompt of {PROMPT}, {CODES} codes = {SECONDS:.2f} s; {options.threads} threads; medians")
    print(f"{'':<34}{'MB':>7}{'s1 s':>7}{'ms/code':>9}{'s2 s':>7}{'RTF':>7}{'first s':>15}{'ahead s':>9}{'log-mel':>9}")
    for row in table:
        s1_s = row.get("s1_s", 0.0)
        print(
            f"{row['voice'] + ': ' + row['way']:<34}{row['bytes'] / 1e6:>7.1f}{s1_s:>7.2f}"
            f"{s1_s / CODES * 1000:>9.1f}{row['s2_s']:>7.2f}{row['real_time_factor']:>7.3f}"
            f"{row.get('first_sound_s', 0.0):>15.2f}{row['first_sound_ahead_s']:>9.2f}"
            f"{row.get('log_mel_distance', 0.0):>9.4f}"
        )
    print(f"ten lengths, {sum(LENGTHS) / 25:.1f} s in all")
    print(f"{'':<34}{'cold RTF':>10}{'CPU s':>8}{'warm RTF':>10}{'CPU s':>8}")
    for name, sums in lengths.items():
        print(f"{name:<34}" + "".join(f"{sums[k, 'rtf']:>10.3f}{sums[k, 'cpu_s']:>8.2f}" for k in ("cold", "warm")))
        ten = {"way": f"{name}, ten lengths"}
        table.append(ten | {f"{state}_{what}": value for (state, what), value in sums.items()})
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(table, indent=2))


def _ways(voice: str, first: S1Config, second: S2Config, work: Path) -> list[Way]:
    """All ways; the plain modules come first, and the others are compared with them."""
    s1, s2 = Text2Semantic(first), Synthesizer(second, posterior=False)
    s1.load_state_dict(fill(s1.state_dict(), "model."))
    s2.load_state_dict(fill(s2.state_dict()))
    s1.eval(), s2.eval()
    with torch.no_grad():  # a logit of 0 is not among the 15 highest: all 126 codes are spoken
        s1.ar_predict_layer.weight[-1] = 0
    size = 4 * sum(value.numel() for module in (s1, s2) for value in module.state_dict().values())
    usual: DevicePrecision = "auto" if convolves_bf16_faster() else "float32"
    plain, exact = (prepare(copy.deepcopy(s2), place("cpu", precision)) for precision in (usual, "float32"))
    in_bytes = prepare(copy.deepcopy(s2), place("cpu"), eight_bits=True)
    fast = engine(s1, "auto")
    found = [
        Way(voice=voice, name="plain modules, float32", s1=CachedEngine(s1), s2=s2, bytes=size),
        Way(voice=voice, name="engines in float32", s1=engine(s1, "float32"), s2=exact, bytes=size),
        Way(voice=voice, name="as voicemill speak", s1=fast, s2=plain, bytes=size),
        Way(voice=voice, name="with --precision int8", s1=fast, s2=in_bytes, bytes=size),
    ]
    precisions: tuple[Precision, ...] = ("float32", "int8")
    for precision in precisions:
        path = work / f"{voice}-{precision}"
        sizes = {"s1": header(first)[KEY], "s2": header(second)[KEY]}
        with torch.inference_mode(), new_folder(path, precision, lambda: Manifest("full", precision, "", sizes)) as to:  # noqa: B023
            write_s1(to, s1), write_s2(to, copy.deepcopy(s2))
        folder = read_folder(path)
        found.append(
            Way(
                voice=voice,
                name=f"onnx, {precision}",
                s1=OnnxEngine(folder),
                s2=OnnxSynthesizer(folder),
                bytes=folder.bytes,
            )
        )
    return found


def _lights(work: Path) -> dict[str, tuple[LightVoice, int]]:
    """Ways of the light system with the bytes of each; random weights take as long as trained ones."""
    torch.manual_seed(0)
    system = LightSystem(trained=PARTS).eval()
    size = 4 * sum(parameter.numel() for parameter in system.parameters())
    found = {"as voicemill speak": (LightVoice(copy.deepcopy(system)), size)}
    sizes = {name: header(getattr(system, name).config)[KEY] for name in PARTS}
    with torch.inference_mode(), new_folder(work / "light", "int8", lambda: Manifest("light", "int8", "", sizes)) as to:
        write_light(to, system)
    folder = read_folder(work / "light")
    return found | {"onnx, int8": (OnnxLightVoice(folder), folder.bytes)}


@torch.inference_mode()
def _light(voice: LightVoice, phones: Tensor) -> Tensor:
    """Speech of the light system, float32 [samples]."""
    mel = voice.acoustic.speak(phones, SPEAKER, 1.0)
    wave: Tensor = voice.vocoder(mel[None])[0, 0]
    assert len(wave) == mel.shape[1] * HOP
    return wave


def _lengths(
    ways: list[Way], prefix: Prefix, target: Tensor, ge: dict[Way, Tensor]
) -> dict[str, dict[tuple[str, str], float]]:
    """Real-time factor and processor seconds of each way over `LENGTHS`, cold and warm."""
    table = {f"{way.voice}: {way.name}": dict.fromkeys(_FIGURES, 0.0) for way in ways}
    for state in ("cold", "warm"):
        for count in LENGTHS:
            for way in ways:
                began, used = time.perf_counter(), time.process_time()
                (made,) = generate(way.s1, [prefix], Sampling(), [count], count)
                _render(way.s2, made.codes, target, ge[way])
                row = table[f"{way.voice}: {way.name}"]
                row[state, "rtf"] += (time.perf_counter() - began) / (sum(LENGTHS) / 25)
                row[state, "cpu_s"] += time.process_time() - used
    return table


_FIGURES = [(state, what) for state in ("cold", "warm") for what in ("rtf", "cpu_s")]


def _ahead(way: Way, prefix: Prefix, phones: Tensor, ge: Tensor) -> Tensor:
    """First half second, rendered while s1 goes on."""
    codes = each_code(way.s1, prefix, Sampling(), 0, CODES)
    z = latent_blocks(way.s2, codes, phones[None], ge, AHEAD, 0.5, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return next(way.s2.stream(z, ge, 25))


def _say(first: Engine, prefix: Prefix) -> Tensor:
    """Codes that s1 generates, int64 [CODES]."""
    (made,) = generate(first, [prefix], Sampling(), [0], CODES)
    assert len(made.codes) == CODES
    return made.codes


@torch.inference_mode()
def _render(second: Synthesis, codes: Tensor, phones: Tensor, ge: Tensor) -> Tensor:
    return second.waveform(second.prior(codes[None], phones[None], ge).mean, ge)[0]


@torch.inference_mode()
def _first(second: Synthesis, codes: Tensor, phones: Tensor, ge: Tensor) -> Tensor:
    return next(second.stream(second.prior(codes[None], phones[None], ge).mean, ge, 25))


def _timed(cases: dict[tuple[object, str], Callable[[], object]], repeats: int) -> dict[tuple[object, str], float]:
    """Median wall clock of each way in seconds, measured in turns after a warm-up."""
    walls: dict[tuple[object, str], list[float]] = {key: [] for key in cases}
    for repeat in range(repeats + 1):
        for key, work in cases.items():
            began = time.perf_counter()
            work()
            if repeat:
                walls[key].append(time.perf_counter() - began)
    return {key: median(wall) for key, wall in walls.items()}


def _distance(wave: Tensor, exact: Tensor) -> float:
    """Mean absolute difference of two log-mels, natural log."""
    mel = LogMel()
    return float((mel.mel(wave[None].float()) - mel.mel(exact[None])).abs().mean())


if __name__ == "__main__":
    main()
