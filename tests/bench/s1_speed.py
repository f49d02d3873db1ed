"""s1 at its real size (weights by the golden rule): ways to compute a step. `python tests/bench/s1_speed.py`

110 phones, a prompt of 125 codes, 126 codes spoken (5.04 s), one row. The ways take turns, a few steps each, at the
same places of the sequence, so a load on the machine weighs on all alike: ratios are medians over the turns, against
float32 in PyTorch of the same turn. On a busy machine "best" is closer to the true time than "median". The real-time
factor is (prefix + 126 steps) / 5.04 s, of the best times.

Fidelity, against float32 in PyTorch, over 200 steps: `error` is that of the logits, root mean square, in parts of their
standard deviation; `greedy` and `drawn` the share of equal choices (penalty 1.35; top-k 15 with the same noise) when
all are given the codes of the reference; `free` the share when each continues its own codes, `first` where they part.
Random weights are the hardest case: no code is much likelier than another. Writes bench/s1_speed.json.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import golden

from voicemill.model.s1.cached import CachedDecoding, CachedEngine
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.generate import Sampling, draw, generate, penalise, probabilities
from voicemill.model.s1.graph_engine import GraphEngine
from voicemill.model.s1.prefix import Decoding, Prefix

ROOT = Path(__file__).resolve().parents[2]
PHONES, PROMPT, SPOKEN, STEPS = 110, 125, 126, 200
SECONDS = SPOKEN / 25
Linear = Callable[[Tensor], Tensor]


class Calls:
    """The step in PyTorch with another kind of linear layer; the reference engine reads the prefix."""

    def __init__(self, model: Text2Semantic, kind: str) -> None:
        self.model, self.config, self.name = model, model.config, kind
        self.dtype = torch.float32 if kind == "dynamic" else torch.bfloat16
        make = {"bfloat16": bfloat16, "weights": eight_bit_weights, "dynamic": eight_bit_dynamic}[kind]
        self.layers: list[tuple[Linear, ...]] = []
        for layer in model.h.layers:
            attention = layer.self_attn
            packed = nn.Linear(1, 1)
            packed.weight, packed.bias = attention.in_proj_weight, attention.in_proj_bias
            kinds = (packed, attention.out_proj, layer.linear1, layer.linear2)
            self.layers.append(tuple(make(one.weight.detach(), one.bias.detach()) for one in kinds))

    def begin(self, prefixes: list[Prefix], room: int) -> "CallsDecoding":
        return CallsDecoding(self, CachedEngine(self.model).begin(prefixes, room))


class CallsDecoding:
    def __init__(self, ways: Calls, read: CachedDecoding) -> None:
        self.ways, self.read, self.logits = ways, read, read.logits
        norms = [(layer.norm1, layer.norm2) for layer in ways.model.h.layers]
        self.norms = [[t.detach().to(ways.dtype) for n in pair for t in (n.weight, n.bias)] for pair in norms]
        self.head = ways.model.ar_predict_layer.weight.detach()

    def advance(self, codes: Tensor) -> None:
        with torch.inference_mode():
            read, place = self.read, self.read.filled
            x = self.ways.model.ar_audio_embedding(codes) + read.positions[read.step]
            read.filled, read.step, x = place + 1, read.step + 1, x.to(self.ways.dtype)
            caches = read.cache[..., : read.filled, :].unbind(0)
            for (qkv, out, wide, narrow), (g1, b1, g2, b2), (keys, values) in zip(
                self.ways.layers, self.norms, caches, strict=True
            ):
                q, k, v = qkv(x).view(1, 3, 16, 1, 32).unbind(1)
                keys[:, :, place:], values[:, :, place:] = k, v
                mixed = scaled_dot_product_attention(q.float(), keys, values).to(x.dtype).view(1, -1)
                x = torch.layer_norm(x + out(mixed), x.shape[-1:], g1, b1)
                x = torch.layer_norm(x + narrow(torch.relu_(wide(x))), x.shape[-1:], g2, b2)
            self.logits = x.float() @ self.head.T


def bfloat16(weight: Tensor, bias: Tensor) -> Linear:
    packed, added = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16()), bias.bfloat16()
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, added, "none", [], "")


def eight_bit_weights(weight: Tensor, bias: Tensor) -> Linear:
    scales = weight.abs().amax(1) / 127
    levels, added = (weight / scales[:, None]).round().to(torch.int8), bias.bfloat16()
    rounded = scales.bfloat16()
    return lambda x: torch.ops.aten._weight_int8pack_mm(x, levels, rounded).add_(added)


def eight_bit_dynamic(weight: Tensor, bias: Tensor) -> Linear:
    scales, zeros = (weight.abs().amax(1) / 127).double(), torch.zeros(len(weight), dtype=torch.int64)
    packed = torch.ops.quantized.linear_prepack(torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8), bias)
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, True)


def speeds(engines: dict[str, Any], prefix: Prefix, turns: int) -> dict[str, dict[str, float]]:
    """Times of the prefix and of steps in seconds, measured in turns."""
    per_turn = SPOKEN // turns
    prefixes: dict[str, list[float]] = {name: [] for name in engines}
    steps: dict[str, list[list[float]]] = {name: [] for name in engines}
    code = torch.tensor([7])
    decodings: dict[str, Decoding] = {}
    for _ in range(3):
        for name, engine in engines.items():
            start = time.perf_counter()
            decodings[name] = engine.begin([prefix], (per_turn + 1) * turns)
            prefixes[name].append(time.perf_counter() - start)
    for _ in range(turns):
        for name, decoding in decodings.items():
            decoding.advance(code)  # brings the weights of this way back into the cache
            steps[name].append([])
            for _ in range(per_turn):
                start = time.perf_counter()
                decoding.advance(code)
                steps[name][-1].append(time.perf_counter() - start)
    reference = [median(turn) for turn in steps["PyTorch, float32"]]
    result = {}
    for name in engines:
        flat = [seconds for turn in steps[name] for seconds in turn]
        ratios = [base / median(turn) for base, turn in zip(reference, steps[name], strict=True)]
        result[name] = {
            "best": min(flat),
            "median": median(flat),
            "ratio": median(ratios),
            "prefix": min(prefixes[name]),
        }
    return result


def fidelity(engines: dict[str, Any], prefix: Prefix) -> dict[str, dict[str, float]]:
    greedy, sampling = Sampling(top_k=1), Sampling()
    reference = engines["PyTorch, float32"]
    [led] = generate(reference, [prefix], greedy, [0], STEPS)
    path = led.codes[:STEPS]
    expected, result = None, {}
    for name, engine in engines.items():
        decoding, logits = engine.begin([prefix], STEPS + 1), []
        for code in path:
            logits.append(decoding.logits[0].clone())
            decoding.advance(code[None])
        stacked, choices, draws = torch.stack(logits), [], []
        seen = torch.zeros_like(stacked[:1], dtype=torch.bool)
        seen[0, prefix.prompt] = True
        generator = torch.Generator().manual_seed(0)
        for code, row in zip(path, stacked, strict=True):
            scores = penalise(row[None], seen, greedy)
            choices.append(int(scores.argmax()))
            draws.append(int(draw(probabilities(scores, sampling), [generator])))
            seen[0, code] = True
        [free] = generate(engine, [prefix], greedy, [0], STEPS)
        if expected is None:
            expected = (stacked, choices, draws)
        same = [a == b for a, b in zip(free.codes.tolist(), path.tolist(), strict=False)]
        result[name] = {
            "error": float((stacked - expected[0]).pow(2).mean().sqrt() / expected[0].std()),
            "greedy": sum(a == b for a, b in zip(choices, expected[1], strict=True)) / len(path),
            "drawn": sum(a == b for a, b in zip(draws, expected[2], strict=True)) / len(path),
            "free": sum(same) / max(len(path), len(free.codes)),
            "first": [*same, False].index(False),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=14, help="turns among which the 126 steps are divided")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    model = Text2Semantic()
    model.load_state_dict(golden.fill(model.state_dict(), "model."))
    generator = torch.Generator().manual_seed(0)
    prefix = Prefix(
        torch.randint(732, (PHONES,), generator=generator),
        torch.randint(1024, (PROMPT,), generator=generator),
        torch.randn(1024, PHONES, generator=generator),
    )
    engines: dict[str, Any] = {
        "PyTorch, float32": CachedEngine(model),
        "PyTorch, weights packed in bfloat16": Calls(model, "bfloat16"),
        "PyTorch, 8-bit weights, bfloat16": Calls(model, "weights"),
        "PyTorch, all in 8 bits (dynamic)": Calls(model, "dynamic"),
        "graph, float32": GraphEngine(model, 32, options.threads),
        "graph, 8 bits": GraphEngine(model, 8, options.threads),
    }
    fast = speeds(engines, prefix, options.turns)
    print({name: round(times["best"] * 1e3, 2) for name, times in fast.items()}, "ms; comparing choices", flush=True)
    close = fidelity(engines, prefix)
    report = {}
    print(f"{options.threads} threads; ms of a step, ms of the prefix, ratio to PyTorch float32, real-time factor")
    print(f"{'':36}   best median  ratio prefix   RTF   error greedy drawn  free first")
    for name in engines:
        a, b = fast[name], close[name]
        factor = (a["prefix"] + SPOKEN * a["best"]) / SECONDS
        report[name] = a | b | {"real_time_factor": factor}
        print(
            f"{name:36} {a['best'] * 1e3:6.2f} {a['median'] * 1e3:6.2f} {a['ratio']:6.2f} {a['prefix'] * 1e3:6.0f} "
            f"{factor:5.3f}  {b['error']:6.4f} {b['greedy']:6.3f} {b['drawn']:5.3f} {b['free']:5.3f} {b['first']:5.0f}"
        )
    out = ROOT / "bench" / "s1_speed.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"threads": options.threads, "ways": report}, indent=1))


if __name__ == "__main__":
    main()
