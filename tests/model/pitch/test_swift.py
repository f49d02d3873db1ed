"""SwiftF0 in torch: the file of its wheel, run by ONNX Runtime, computes the same."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from voicemill.model.embedded import SWIFT_F0
from voicemill.model.onnx_graph import Graph
from voicemill.model.onnx_reader import read_nodes
from voicemill.model.pitch.engines import Precision, tracker
from voicemill.model.pitch.swift import SwiftF0
from voicemill.model.pitch.swift_int8 import ByteNetwork, multiplies_bytes
from voicemill.model.pitch.swift_network import QUANTUM, STEP
from voicemill.storage.errors import ConfigError

RATE = 16_000
FMIN, FMAX = 60.0, 800.0


@pytest.fixture(scope="module")
def reference() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(SWIFT_F0.path("model.onnx")), providers=["CPUExecutionProvider"])


def of_wheel(session: onnxruntime.InferenceSession, wave: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    feed = {"audio": wave[None], "fmin": np.asarray(FMIN, np.float32), "fmax": np.asarray(FMAX, np.float32)}
    return [out[0] for out in session.run(["pitch", "confidence"], feed)]


def voice(samples: int, seed: int) -> NDArray[np.float32]:
    """A buzz that glides and pauses, in noise."""
    rng = np.random.default_rng(seed)
    hertz = np.geomspace(*rng.uniform(70, 500, 2), samples)
    phase = np.cumsum(hertz) / RATE * 2 * np.pi
    buzz = sum(np.sin(k * phase + k) / k * (k * hertz < 7000) for k in range(1, 30))
    speaks = np.sin(np.arange(samples) / RATE * 5 + seed) > -0.3
    return (0.1 * buzz * speaks + 0.01 * rng.standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("frames", [0, 1, QUANTUM - 1, QUANTUM, QUANTUM + 1, 200, 511])
def test_float32_equals_the_file_of_the_wheel(frames: int, reference: onnxruntime.InferenceSession) -> None:
    wave = voice(frames * STEP + 100, frames)
    expected_hertz, expected_confidence = of_wheel(reference, wave)
    with torch.inference_mode():
        hertz, confidence = SwiftF0(FMIN, FMAX).pitches(wave)
    np.testing.assert_allclose(confidence, expected_confidence, atol=1e-4)
    np.testing.assert_allclose(hertz, expected_hertz, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
def test_fewer_bits_err_less_than_the_steps_of_the_network(
    precision: Precision, reference: onnxruntime.InferenceSession
) -> None:
    """Its pitches are 70 cents apart; voicing changes in one frame of 500 at most, in bytes of 250."""
    engine = tracker("swift", FMIN, FMAX, precision=precision)
    assert isinstance(engine, SwiftF0)
    changed = frames = 0
    for seed in range(8):
        wave = voice(6 * RATE, seed)
        expected_hertz, expected_confidence = of_wheel(reference, wave)
        with torch.inference_mode():
            hertz, confidence = engine.pitches(wave)
        changed += int(((confidence >= 0.5) != (expected_confidence >= 0.5)).sum())
        frames += len(hertz)
        certain = expected_confidence >= 0.5
        cents = 1200 * np.abs(np.log2(hertz[certain] / expected_hertz[certain]))
        assert np.median(cents) < 1
        assert np.mean(cents > 35) < 0.005
    assert changed <= frames / (250 if engine.dtype is torch.int8 else 500)


def test_sums_of_bytes_are_exact_or_int8_is_refused() -> None:
    """A layer whose weights are not those that it was packed with is found."""
    file = SWIFT_F0.path("model.onnx")
    if not multiplies_bytes(file):
        with pytest.raises(ConfigError, match="VNNI"):
            tracker("swift", FMIN, FMAX, precision="int8")
        return
    network = ByteNetwork(file)
    layer = network._blocks[0][0]
    assert layer.is_exact()
    layer.whole = layer.whole.flip(2)
    assert not layer.is_exact()


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_scores_do_not_depend_on_the_frames_behind(precision: Precision) -> None:
    """A longer window gives the frames far from its end the same scores."""
    engine = tracker("swift", FMIN, FMAX, precision=precision)
    assert isinstance(engine, SwiftF0)
    wave = torch.from_numpy(voice(100 * STEP, 3))
    with torch.inference_mode():
        whole, _ = engine._network(wave)
        part, _ = engine._network(wave[: 80 * STEP])
    torch.testing.assert_close(whole[:60], part[:60], rtol=1e-4, atol=1e-4)


def test_what_is_rounded_up_is_not_heard() -> None:
    """Frames behind the end change nothing before it."""
    wave = voice((3 * QUANTUM + 5) * STEP, 1)
    with torch.inference_mode():
        network = SwiftF0()._network
        features = network.features(torch.from_numpy(wave))
        scores, confidence = network(torch.from_numpy(wave))
    assert features.shape == (1, 3, 128, 3 * QUANTUM + 5)
    assert scores.shape == (3 * QUANTUM + 5, 95)
    assert confidence.shape == (3 * QUANTUM + 5,)


def test_nodes_and_constants_of_a_graph_are_read(tmp_path: Path) -> None:
    graph = Graph()
    graph.input("x", "float32", ["rows", 4])
    weight = np.arange(12, dtype=np.float32).reshape(4, 3)
    graph.node("MatMul", ["x", graph.constant("w", weight)], ["y"])
    graph.node("Gather", ["y", graph.constant("last", np.array([-1, 2]))], ["z"], axis=-1)
    graph.output("z", "float32", ["rows", 2])
    file = tmp_path / "model.onnx"
    file.write_bytes(graph.model())
    product, gather = read_nodes(file)
    assert (product.operator, gather.operator) == ("MatMul", "Gather")
    np.testing.assert_array_equal(product.constants[0], weight)
    assert gather.constants[0].tolist() == [-1, 2]
    assert gather.integers == {"axis": (-1,)}


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_a_file_that_is_no_model_is_a_value_error(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(SWIFT_F0.path("model.onnx").read_bytes()[:keep])
    with pytest.raises(ValueError, match="not an ONNX model"):
        read_nodes(file)
