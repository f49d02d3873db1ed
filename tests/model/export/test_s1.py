"""The graphs of s1 speak as the reference engine does: first step, next steps, batches, and the rules of the loop."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support.tiny_graphs import LOOSE, write
from support.tiny_voice import S1, tiny_s1
from torch import Tensor

from voicemill.model.checkpoints.sizes import KEY, header
from voicemill.model.export import s1
from voicemill.model.export.draft import Precision
from voicemill.model.export.folder import GraphFolder, Manifest
from voicemill.model.export.running import OnnxEngine
from voicemill.model.s1.cached import CachedEngine
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.generate import MIN_CODES, Sampling, generate
from voicemill.model.s1.prefix import Engine, Prefix
from voicemill.storage.errors import ConfigError


def engine_of(folder: Path, model: Text2Semantic, precision: Precision = "float32") -> OnnxEngine:
    scales = s1.scales_of(model) if precision == "int8" else None
    steps = {"first": partial(s1.first_step, model=model, scales=scales)}
    steps["next"] = partial(s1.next_step, model=model, scales=scales)
    actual = write(folder, "s1", steps, precision)
    manifest = Manifest("full", precision, sizes={"s1": header(model.config)[KEY]}, files=actual.manifest.files)
    return OnnxEngine(GraphFolder(actual.path, manifest), 1)


@pytest.fixture(scope="module")
def model() -> Text2Semantic:
    return tiny_s1()


@pytest.fixture(scope="module")
def engines(model: Text2Semantic, tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, OnnxEngine]:
    root = tmp_path_factory.mktemp("s1")
    return {precision: engine_of(root / precision, model, precision) for precision in LOOSE}


def prefix_of(seed: int, phones: int, prompt: int) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    return Prefix(
        torch.randint(40, (phones,), generator=generator),
        torch.randint(16, (prompt,), generator=generator),
        torch.randn(24, phones, generator=generator),
    )


def followed(engine: Engine, prefixes: list[Prefix], codes: Tensor) -> Tensor:
    """Logits [steps + 1, rows, vocabulary] along given codes [rows, steps]."""
    decoding = engine.begin(prefixes, codes.shape[1])
    seen = [decoding.logits.float().clone()]
    for column in codes.T:
        decoding.advance(column)
        seen.append(decoding.logits.float().clone())
    return torch.stack(seen)


@pytest.mark.parametrize("precision", LOOSE)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_logits_are_those_of_torch(
    model: Text2Semantic, engines: dict[Precision, OnnxEngine], precision: Precision, times: int
) -> None:
    prefixes = [prefix_of(seed, (4 + seed) * times, (3 * seed) * times) for seed in range(4)]
    codes = torch.randint(16, (4, 8 * times), generator=torch.Generator().manual_seed(1))
    expected = followed(CachedEngine(model), prefixes, codes)
    error = followed(engines[precision], prefixes, codes) - expected
    assert float(error.square().mean().sqrt() / expected.std()) < LOOSE[precision]


def test_positions_are_computed_at_any_length(model: Text2Semantic, engines: dict[Precision, OnnxEngine]) -> None:
    prefix = prefix_of(1, 700, 900)
    expected = CachedEngine(model).begin([prefix], 1).logits
    torch.testing.assert_close(engines["float32"].begin([prefix], 1).logits, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_same_seeds_say_the_same_codes_as_torch(
    model: Text2Semantic, engines: dict[Precision, OnnxEngine], precision: Precision
) -> None:
    """Noise is drawn outside the graphs: exponential, argmax(p / e), as everywhere."""
    prefixes = [prefix_of(seed, 6, 5) for seed in range(6)]
    spoken = [
        [made.codes.tolist() for made in generate(engine, prefixes, Sampling(top_k=5), range(6), 30)]
        for engine in (CachedEngine(model), engines[precision])
    ]
    same = sum(one == other for one, other in zip(*spoken, strict=True))
    assert same >= (6 if precision == "float32" else 5)


def test_eleven_codes_at_least(tmp_path: Path) -> None:
    eager = tiny_s1()
    with torch.no_grad():  # EOS is the likeliest from the first step on
        eager.ar_predict_layer.weight[S1.eos] = 0
        eager.ar_predict_layer.weight[S1.eos, 0] = eager.h.layers[-1].norm2.bias[0] = 10
    made = generate(engine_of(tmp_path, eager), [prefix_of(1, 5, 4)], Sampling(), [0], 50)
    assert len(made[0].codes) == MIN_CODES


def test_bert_features_change_the_logits(model: Text2Semantic, engines: dict[Precision, OnnxEngine]) -> None:
    heard = prefix_of(1, 5, 4)
    deaf = replace(heard, bert=None)
    silent = replace(heard, bert=torch.zeros(24, 5))
    of = {name: engines["float32"].begin([prefix], 1).logits.clone() for name, prefix in
          (("heard", heard), ("deaf", deaf), ("silent", silent))}  # fmt: skip
    assert torch.equal(of["deaf"], of["silent"])
    assert (of["heard"] - of["deaf"]).abs().max() > 0.01
    torch.testing.assert_close(of["heard"], CachedEngine(model).begin([heard], 1).logits, atol=2e-5, rtol=0)


def test_no_room_left_is_an_error(engines: dict[Precision, OnnxEngine]) -> None:
    decoding = engines["float32"].begin([prefix_of(1, 5, 4)], 1)
    decoding.advance(torch.tensor([1]))
    with pytest.raises(IndexError):
        decoding.advance(torch.tensor([1]))


@pytest.mark.parametrize(
    ("sizes", "precision", "words"),
    [({"dim": 48, "heads": 4}, "float32", "a multiple of 8"), ({"dim": 40, "heads": 5}, "int8", "multiple of 16")],
)
def test_sizes_that_graphs_cannot_have_are_refused(sizes: dict[str, int], precision: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        s1.check(S1Config(**sizes), precision)


def test_first_and_next_share_their_weights_and_8_bits_are_small(
    tmp_path: Path, engines: dict[Precision, OnnxEngine]
) -> None:
    wide = Text2Semantic(replace(S1, dim=256, layers=4, bert=256))
    weights = 4 * sum(parameter.numel() for parameter in wide.parameters())
    sizes = {}
    for precision in ("float32", "int8"):
        engine_of(tmp_path / precision, wide, precision)
        sizes[precision] = sum(path.stat().st_size for path in (tmp_path / precision).iterdir())
    assert sizes["float32"] < 1.05 * weights
    assert sizes["float32"] / sizes["int8"] > 3.5
