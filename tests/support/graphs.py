"""Small networks with random weights, and their graphs."""

from collections.abc import Callable
from pathlib import Path

import torch

from support.golden import fill
from voicemill.model.export.draft import Draft, Precision
from voicemill.model.export.folder import GraphFolder, Manifest, new_folder, read_folder
from voicemill.model.export.running import Session
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer

TINY = S1Config(phonemes=40, codes=16, dim=64, heads=4, layers=2, bert=24)
SMALL = S2Config(
    ssl_dim=12,
    codebook=16,
    reference_dim=16,
    style=32,
    mrte_dim=32,
    hidden=32,
    filter=48,
    layers=2,
    flow_layers=2,
    upsample_channels=64,
)
LOOSE: dict[Precision, float] = {"float32": 3e-5, "float16": 5e-3, "int8": 6e-2}
"""How far a graph may be from torch, in parts of the standard deviation of what torch says (see `off`)."""


def small_s1(config: S1Config = TINY) -> Text2Semantic:
    module = Text2Semantic(config)
    module.load_state_dict(fill(module.state_dict(), "tiny.model."))
    return module.eval()


def small_s2(config: S2Config = SMALL) -> Synthesizer:
    module = Synthesizer(config, posterior=False)
    module.load_state_dict(fill(module.state_dict()))
    return module.eval()


def write(folder: Path, network: str, graphs: dict[str, Callable[[Draft], None]], precision: Precision) -> GraphFolder:
    """A folder of these graphs alone."""
    with new_folder(folder, precision, lambda: Manifest("full", precision)) as writer:
        writer.network(network, list(graphs.items()))
    return read_folder(folder)


def session(folder: Path, build: Callable[[Draft], None], precision: Precision = "float32") -> Session:
    return Session(write(folder / precision, "net", {"graph": build}, precision), "net_graph", 1)


def off(found: object, expected: torch.Tensor) -> float:
    """Root mean square of the difference, in parts of the standard deviation of `expected`."""
    given = torch.as_tensor(found)
    assert given.shape == expected.shape
    return float((given - expected).square().mean().sqrt() / expected.std())
