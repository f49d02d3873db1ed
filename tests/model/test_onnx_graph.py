"""The ONNX writer: what it writes, ONNX Runtime reads and computes."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.onnx_graph import MICROSOFT, Graph, _varint


def session(graph: Graph) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.model(), providers=["CPUExecutionProvider"])


def test_a_graph_runs() -> None:
    graph = Graph()
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3)).astype(np.float32)
    graph.input("x", "float32", ["rows", 4])
    graph.node("MatMul", ["x", graph.constant("w", weight)], ["y"])
    graph.node("LeakyRelu", ["y"], ["z"], alpha=0.25)
    graph.output("z", "float32", ["rows", 3])
    x = rng.standard_normal((5, 4)).astype(np.float32)
    [z] = session(graph).run(None, {"x": x})
    y = x @ weight
    np.testing.assert_allclose(z, np.where(y < 0, y / 4, y), atol=1e-6)


def test_integers_attributes_left_out_inputs_and_microsoft_operators() -> None:
    graph = Graph()
    graph.input("x", "float32", [1, 2, 4])
    ones = graph.constant("ones", np.ones(4, np.float32))
    graph.node("SkipLayerNormalization", ["x", "x", ones, "", ones], ["n"], MICROSOFT, epsilon=1e-5)
    graph.node("Gather", ["n", graph.constant("last", np.array([-1]))], ["y"], axis=-2)
    graph.output("y", "float32", [1, 1, 4])
    [y] = session(graph).run(None, {"x": np.arange(8, dtype=np.float32).reshape(1, 2, 4)})
    np.testing.assert_allclose(y[0, 0], np.array([-3, -1, 1, 3]) / np.sqrt(5), atol=1e-5)


@pytest.mark.parametrize(("direction", "expected"), [("LEFT", 8), ("RIGHT", 2)])
def test_words_as_attributes_and_whole_numbers_of_8_bits(direction: str, expected: int) -> None:
    graph = Graph()
    graph.input("x", "uint8", [1])
    graph.node("BitShift", ["x", graph.constant("by", np.array([1], np.uint8))], ["y"], direction=direction)
    graph.output("y", "uint8", [1])
    levels = graph.constant("levels", np.array([-128, 127], np.int8))
    graph.node("Cast", [levels], ["z"], to=1)
    graph.output("z", "float32", [2])
    [y, z] = session(graph).run(None, {"x": np.array([4], np.uint8)})
    assert y.tolist() == [expected]
    assert z.tolist() == [-128, 127]


def test_another_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="dtype complex64: expected float32, uint8, int8, int32, int64"):
        Graph().constant("c", np.zeros(1, np.complex64))


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints_hold_their_number(number: int) -> None:
    content = _varint(number)
    assert all(byte & 128 for byte in content[:-1])
    assert not content[-1] & 128
    decoded = sum((byte & 127) << 7 * place for place, byte in enumerate(content))
    assert (decoded - (decoded >> 63 << 64)) == number
