"""Choice of the engine that computes s1, in one function."""

import copy
from typing import Literal, TypeAlias, get_args

import torch

from voicemill.model.device import place
from voicemill.model.s1.cached import CachedEngine
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.graph_engine import GraphEngine, too_old
from voicemill.model.s1.prefix import Engine
from voicemill.storage.errors import ConfigError

Precision: TypeAlias = Literal["auto", "reference", "float32", "bfloat16", "float16", "int8"]
"""
auto       int8 on a CPU; on a GPU the dtype that it multiplies fastest
reference  PyTorch in the dtype of the weights, as in training; slow on a CPU
float32    on a CPU an ONNX Runtime graph, within 1e-5 of the reference, and faster
bfloat16   PyTorch, with a copy of the weights in it; float16 likewise, on a GPU only
int8       on a CPU: an ONNX Runtime graph with weights, keys and values of 8 bits, the fastest
"""


def engine(model: Text2Semantic, precision: Precision = "auto", threads: int | None = None) -> Engine:
    """Make an engine on the device of the model. Its `name` is the chosen precision.

    Args:
        model: put into eval mode; "reference" keeps it, every other engine copies what it needs.
        precision: see `Precision`.
        threads: threads of a graph on a CPU, 1 or more; None = as many as PyTorch uses.

    Raises:
        ConfigError: the device or the installed ONNX Runtime does not support the precision, or `threads` is below 1.
    """
    weight = model.ar_predict_layer.weight
    on_cpu = weight.device.type == "cpu"
    if precision not in get_args(Precision):
        raise ConfigError(f"s1 precision = {precision!r}: expected {', '.join(get_args(Precision))}")
    if threads is not None and threads < 1:
        raise ConfigError(f"s1 threads = {threads}: expected 1 or more")
    if precision == "auto":
        precision = _automatic(on_cpu)
    if precision == "reference":
        return CachedEngine(model)
    if precision == ("float16" if on_cpu else "int8"):
        other = "a GPU" if on_cpu else "a CPU"
        raise ConfigError(f"s1 precision = {precision!r} on {weight.device.type}: it needs {other}")
    if on_cpu and precision in ("float32", "int8"):
        return GraphEngine(model, 8 if precision == "int8" else 32, threads or torch.get_num_threads())
    dtype = getattr(torch, precision)
    return CachedEngine(model if weight.dtype is dtype else copy.deepcopy(model).to(dtype))


def _automatic(on_cpu: bool) -> Precision:
    import onnxruntime

    if on_cpu:
        return "reference" if too_old(onnxruntime.__version__) else "int8"
    names: dict[torch.dtype, Precision] = {torch.bfloat16: "bfloat16", torch.float16: "float16"}
    return names.get(place("cuda").dtype, "float32")
