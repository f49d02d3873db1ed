"""Trains the network of `model/quality/network.py` on labelled mixtures, and writes it as ONNX.

    python tests/bench/quality_train.py FOLDER OUT.onnx [--epochs 16]

FOLDER holds what `quality_labels.py` made. Every fortieth shard decides nothing: its Pearson correlations are printed.
Batch norms are folded into the convolutions; weights are stored in float16 and widened when the model is loaded.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.onnx_graph import Graph
from voicemill.model.quality.network import OUTPUTS, features

CHANNELS = ((1, 16, 2, 2), (16, 32, 2, 2), (32, 64, 1, 2), (64, 64, 1, 1), (64, 96, 1, 2))
"""In, out, stride in time, stride in frequency."""
BANDS, WIDTH = 5, 128
DILATIONS = (1, 2)


class Network(nn.Module):  # type: ignore[misc]
    """Convolutions over time and frequency, two over time, statistics over time, two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, (s, f), 1, bias=False) for i, o, s, f in CHANNELS)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in CHANNELS)
        self.mix = nn.Conv1d(CHANNELS[-1][1] * BANDS, WIDTH, 1)
        self.times = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2 * d, dilation=d) for d in DILATIONS)
        self.hidden = nn.Linear(3 * WIDTH, WIDTH)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(WIDTH, len(OUTPUTS))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, frames, 80] -> [batch, 8]."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.relu(norm(convolution(x)))
        x = functional.relu(self.mix(x.transpose(2, 3).flatten(1, 2)))
        for over_time in self.times:
            x = functional.relu(over_time(x)) + x
        x = x.float()
        mean = x.mean(-1)
        spread = ((x * x).mean(-1) - mean * mean).clamp(min=0).add(1e-5).sqrt()
        return self.out(self.drop(functional.relu(self.hidden(torch.cat([mean, x.amax(-1), spread], 1)))))


def losses(y: Tensor, label: Tensor) -> Tensor:
    """Sum of the losses of all outputs; NaN labels are left out."""
    total = functional.smooth_l1_loss(y[:, :4], label[:, :4] - 3.0, beta=0.3) * 4
    snr, c50, music, speech = label[:, 4:].unbind(1)
    known = snr < 59.9
    total = total + functional.smooth_l1_loss(y[:, 4][known], snr[known] / 10.0, beta=0.3)
    total = total + functional.relu(2.8 - y[:, 4][snr > 59.9]).sum() / len(y)
    room = ~c50.isnan()
    if room.any():
        total = total + functional.smooth_l1_loss(y[:, 5][room], c50[room].clamp(-10, 35) / 10.0, beta=0.3)
    total = total + functional.relu(2.0 - y[:, 5][~room & (speech == 1)]).sum() / len(y)
    heard, none = music <= 20.0, music.isinf() & (music > 0)
    both = heard | none
    total = total + functional.binary_cross_entropy_with_logits(y[:, 6][both], heard[both].float())
    certain = ~speech.isnan()
    return total + functional.binary_cross_entropy_with_logits(y[:, 7][certain], speech[certain])


def read(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    inputs: list[np.ndarray] = []
    labels = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            ends = np.cumsum(data["length"])
            for wave in np.split(data["wave"], ends[:-1]):
                inputs.append(features(wave.astype(np.float32) / 32767).astype(np.float16))
            labels.append(data["label"])
    return inputs, np.concatenate(labels)


def batch_of(inputs: list[np.ndarray], rows: np.ndarray) -> Tensor:
    """Clips of nearly one length, the shorter ones repeated to the longest."""
    most = max(len(inputs[row]) for row in rows)
    stacked = np.stack([np.resize(inputs[row], (most, inputs[row].shape[1])) for row in rows])
    return torch.from_numpy(stacked.astype(np.float32))[:, None]


def train(inputs: list[np.ndarray], labels: np.ndarray, epochs: int, kept_out: np.ndarray) -> Network:
    torch.manual_seed(0)
    rng, model, size = np.random.default_rng(0), Network(), 24
    rows = np.setdiff1d(np.arange(len(inputs)), kept_out)
    steps = epochs * (len(rows) // size)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + epochs, pct_start=0.15)
    target, began = torch.from_numpy(labels), time.process_time()
    for epoch in range(epochs):
        model.train()
        order = rows[np.argsort([len(inputs[row]) + rng.uniform(0, 40) for row in rows])]
        batches = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
        summed = 0.0
        for number in rng.permutation(len(batches)):
            x = batch_of(inputs, batches[number])
            with torch.autocast("cpu", torch.bfloat16):
                y = model(x)
            loss = losses(y.float(), target[batches[number]])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            summed += float(loss.detach())
        print(f"epoch {epoch}: loss {summed / len(batches):.3f}, {time.process_time() - began:.0f} s", flush=True)
        if epoch % 4 == 3 or epoch + 1 == epochs:
            report(model, inputs, labels, kept_out)
    return model.eval()


def report(model: Network, inputs: list[np.ndarray], labels: np.ndarray, rows: np.ndarray) -> None:
    """Print correlations over the rows."""
    model.eval()
    with torch.inference_mode():
        y = np.concatenate([model(batch_of(inputs, np.array([row]))).numpy() for row in rows])
    for n, name in enumerate(OUTPUTS[:6]):
        known = np.isfinite(labels[rows, n]) & (labels[rows, n] < 59.9)
        print(f"  {name} r {np.corrcoef(y[known, n], labels[rows][known, n])[0, 1]:.3f}", end="")
    print()


def to_onnx(model: Network) -> bytes:
    """ONNX model: input `mel` float32 [1, 1, frames, 80], output `scores` float32 [1, 8]."""
    graph = Graph()

    def constant(name: str, value: Tensor) -> str:
        graph.constant(f"{name}_half", value.detach().numpy().astype(np.float16))
        graph.node("Cast", [f"{name}_half"], [name], to=1)
        return name

    graph.input("mel", "float32", (1, 1, "frames", 80))
    x = "mel"
    for n, (convolution, norm) in enumerate(zip(model.convolutions, model.norms, strict=True)):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernel = constant(f"kernel{n}", convolution.weight * scale[:, None, None, None])
        bias = constant(f"bias{n}", norm.bias - norm.running_mean * scale)
        graph.node("Conv", [x, kernel, bias], [f"conv{n}"], pads=(1, 1, 1, 1), strides=convolution.stride)
        graph.node("Relu", [f"conv{n}"], [x := f"relu{n}"])
    graph.node("Transpose", [x], ["turned"], perm=(0, 1, 3, 2))
    shape = graph.constant("shape", np.array([1, CHANNELS[-1][1] * BANDS, -1], np.int64))
    graph.node("Reshape", ["turned", shape], ["flat"])
    graph.node("Conv", ["flat", constant("mix", model.mix.weight), constant("mix_bias", model.mix.bias)], ["mixed"])
    graph.node("Relu", ["mixed"], [x := "time"])
    for n, part in enumerate(model.times):
        reach, weights = 2 * DILATIONS[n], [constant(f"time{n}", part.weight), constant(f"time{n}_bias", part.bias)]
        graph.node("Conv", [x, *weights], [f"over{n}"], pads=(reach, reach), dilations=(DILATIONS[n],))
        graph.node("Relu", [f"over{n}"], [f"over{n}_relu"])
        graph.node("Add", [f"over{n}_relu", x], [x := f"sum{n}"])
    graph.node("ReduceMean", [x], ["mean"], axes=(2,), keepdims=0)
    graph.node("ReduceMax", [x], ["max"], axes=(2,), keepdims=0)
    graph.node("Mul", [x, x], ["squares"])
    graph.node("ReduceMean", ["squares"], ["square"], axes=(2,), keepdims=0)
    graph.node("Mul", ["mean", "mean"], ["mean_square"])
    graph.node("Sub", ["square", "mean_square"], ["difference"])
    graph.node("Relu", ["difference"], ["variance"])
    graph.node("Add", ["variance", graph.constant("least", np.array([1e-5], np.float32))], ["variance_up"])
    graph.node("Sqrt", ["variance_up"], ["spread"])
    graph.node("Concat", ["mean", "max", "spread"], [x := "statistics"], axis=1)
    for name, dense in (("hidden", model.hidden), ("scores", model.out)):
        weights = [constant(f"{name}_weight", dense.weight), constant(f"{name}_bias", dense.bias)]
        graph.node("Gemm", [x, *weights], [x := f"{name}_dense" if name == "hidden" else name], transB=1)
        if name == "hidden":
            graph.node("Relu", [x], [x := "hidden_relu"])
    graph.output("scores", "float32", (1, len(OUTPUTS)))
    return graph.model()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=16)
    options = parser.parse_args()
    inputs, labels = read(options.folder)
    kept_out = np.arange(0, len(inputs), 25)
    print(
        f"{len(inputs)} clips, {sum(map(len, inputs)) / 6000:.0f} min; {sum(p.numel() for p in Network().parameters())}"
    )
    model = train(inputs, labels, options.epochs, kept_out)
    options.out.write_bytes(to_onnx(model))
    import onnxruntime

    session = onnxruntime.InferenceSession(str(options.out), providers=["CPUExecutionProvider"])
    clip = batch_of(inputs, kept_out[:1])
    with torch.inference_mode():
        print("onnx - torch:", np.abs(session.run(None, {"mel": clip.numpy()})[0] - model(clip).numpy()).max())


if __name__ == "__main__":
    main()
