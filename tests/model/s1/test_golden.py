"""s1 against the golden arrays: the model at its real size, and a small one that reaches EOS."""

import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support import golden
from torch import Tensor

from voicemill.model.s1.cached import CachedEngine
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.generate import Sampling, Stop, generate, penalise, probabilities
from voicemill.model.s1.graph import Bits
from voicemill.model.s1.graph_engine import GraphEngine
from voicemill.model.s1.loss import loss
from voicemill.model.s1.prefix import Prefix

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not golden.FOLDER.exists(), reason="the folder of golden arrays is not here"),
]
Arrays = Mapping[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def gold() -> Arrays:
    with np.load(golden.FOLDER / "s1_v2_gold.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def model() -> Text2Semantic:
    module = Text2Semantic()
    module.load_state_dict(golden.fill(module.state_dict(), "model."))
    return module.eval()


@pytest.fixture(scope="module")
def prefix(gold: Arrays) -> Prefix:
    bert = golden.inp("s1.bert", (1024, 14))
    bert[:, 8:] = 0
    return Prefix(torch.from_numpy(gold["phones"][0]), torch.from_numpy(gold["prompt"][0]), bert)


def test_keys_and_shapes_are_the_official_ones() -> None:
    listing = json.loads((golden.FOLDER / "s1_v2_state_dict.json").read_text())
    own = {f"model.{key}": list(value.shape) for key, value in Text2Semantic().state_dict().items()}
    assert own == {key: value["shape"] for key, value in listing.items()}


@torch.inference_mode()
def test_embedding(model: Text2Semantic, prefix: Prefix, gold: Arrays) -> None:
    assert prefix.bert is not None
    close(model.text(prefix.phones[None], prefix.bert[None]), gold["x_emb"])


@torch.inference_mode()
def test_logits(model: Text2Semantic, prefix: Prefix, gold: Arrays) -> None:
    assert prefix.bert is not None
    close(model(prefix.phones[None], prefix.bert[None], prefix.prompt[None]), gold["logits"])


@pytest.mark.parametrize(
    ("name", "prompted", "penalty"),
    [("greedy_rep135", True, 1.35), ("greedy_rep100", True, 1.0), ("greedy_noprompt_rep135", False, 1.35)],
)
def test_greedy_tokens(
    model: Text2Semantic, prefix: Prefix, gold: Arrays, name: str, prompted: bool, penalty: float
) -> None:
    """`early_stop_num` was 20, so the original made 21 tokens."""
    given = prefix if prompted else Prefix(prefix.phones, prefix.prompt[:0], prefix.bert)
    sampling = Sampling(top_k=1, repetition_penalty=penalty)
    [result] = generate(CachedEngine(model), [given], sampling, [0], max_codes=21)
    assert [*given.prompt.tolist(), *result.codes.tolist()] == gold[name][0].tolist()
    assert result.stop is Stop.LIMIT
    assert gold[f"{name}_idx"] == (len(result.codes) - 1 if prompted else 0)


@pytest.mark.parametrize(("bits", "tolerance"), [(32, 1e-4), (8, 0.3)])
def test_graph_engines(model: Text2Semantic, prefix: Prefix, gold: Arrays, bits: Bits, tolerance: float) -> None:
    """Without a penalty the smallest margin between the two likeliest codes is 0.29: 8 bits choose the same."""
    output = GraphEngine(model, bits, 2)
    close(output.begin([prefix], 1).logits, gold["logits"][:, -1], tolerance)
    [result] = generate(output, [prefix], Sampling(top_k=1, repetition_penalty=1), [0], max_codes=21)
    assert [*prefix.prompt.tolist(), *result.codes.tolist()] == gold["greedy_rep100"][0].tolist()
    if bits == 32:
        [result] = generate(output, [prefix], Sampling(top_k=1), [0], max_codes=21)
        assert [*prefix.prompt.tolist(), *result.codes.tolist()] == gold["greedy_rep135"][0].tolist()


@pytest.mark.parametrize(
    ("number", "sampling"),
    [
        (0, Sampling(15, 1.0, 1.0, 1.35)),
        (1, Sampling(20, 0.6, 0.6, 1.35)),
        (2, Sampling(5, 0.9, 0.8, 1.0)),
    ],
)
def test_sampled_probabilities(gold: Arrays, number: int, sampling: Sampling) -> None:
    logits = golden.inp("s1.samp_logits", (1, 1025), 3.0)
    seen = torch.zeros(1, 1025, dtype=torch.bool)
    seen[0, torch.from_numpy(gold["samp_prev"][0])] = True
    close(probabilities(penalise(logits, seen, sampling), sampling), gold[f"samp_probs_{number}"], 1e-6)


@torch.inference_mode()
def test_loss_alone(model: Text2Semantic, prefix: Prefix, gold: Arrays) -> None:
    assert prefix.bert is not None
    result = loss(model, prefix.phones[None], prefix.bert[None], torch.from_numpy(gold["tr_y_b1"]))
    assert float(result.total) == pytest.approx(float(gold["loss_b1"]), rel=1e-4)
    assert result.accuracy == pytest.approx(float(gold["acc3_b1"]))
    assert result.tokens == 26


@torch.inference_mode()
def test_loss_of_a_padded_batch_is_the_sum_of_its_rows(model: Text2Semantic, gold: Arrays) -> None:
    phones, codes = torch.from_numpy(gold["tr_phones"]), torch.from_numpy(gold["tr_y"])
    bert = golden.inp("s1.tr_bert", (2, 1024, 12))
    bert[1, :, 8:] = 0
    result = loss(model, phones, bert, codes, [12, 8], [22, 15])
    rows = [
        loss(model, phones[:1], bert[:1], codes[:1]),
        loss(model, phones[1:, :8], bert[1:, :, :8], codes[1:, :15]),
    ]
    for row, key in zip(rows, ("loss_b2_row0", "loss_b2_row1"), strict=True):
        assert float(row.total) == pytest.approx(float(gold[key]), rel=1e-4)
    assert float(result.total) == pytest.approx(sum(float(row.total) for row in rows), rel=1e-5)
    assert result.tokens == 39


@pytest.fixture(scope="module")
def small() -> tuple[Text2Semantic, Arrays]:
    module = Text2Semantic(S1Config(phonemes=40, codes=16, dim=64, heads=4, layers=2))
    weights = golden.fill(module.state_dict(), "tiny.model.")
    weights["ar_predict_layer.weight"][16] *= 3
    module.load_state_dict(weights)
    with np.load(golden.FOLDER / "s1_tiny_gold.npz") as file:
        return module.eval(), dict(file)


@pytest.mark.parametrize("case", range(4))
def test_stops_where_the_original_stops(small: tuple[Text2Semantic, Arrays], case: int) -> None:
    model, gold = small
    engine = CachedEngine(model)
    prefix = tiny_prefix(gold, case)
    [result] = generate(engine, [prefix], Sampling(top_k=1), [0], max_codes=61)
    assert [*prefix.prompt.tolist(), *result.codes.tolist()] == gold[f"y{case}"][0].tolist()
    assert len(result.codes) == gold[f"idx{case}"]
    assert result.stop is Stop.DRAWN


def test_stops_in_a_batch_are_those_of_single_rows(small: tuple[Text2Semantic, Arrays]) -> None:
    model, gold = small
    prefixes = [tiny_prefix(gold, case) for case in range(4)]
    results = generate(CachedEngine(model), prefixes, Sampling(top_k=1), [0] * 4)
    assert [len(result.codes) for result in results] == [28, 11, 25, 38]
    for case, result in enumerate(results):
        assert result.codes.tolist() == gold[f"y{case}"][0, 3:].tolist()


def tiny_prefix(gold: Arrays, case: int) -> Prefix:
    bert = golden.inp(f"s1t.bert{int(gold[f'seed{case}'])}", (1024, 6))
    return Prefix(torch.from_numpy(gold[f"phones{case}"][0]), torch.from_numpy(gold[f"prompt{case}"][0]), bert)


def close(value: Tensor, expected: NDArray[np.float32], tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(value, torch.from_numpy(expected), atol=tolerance, rtol=0)
