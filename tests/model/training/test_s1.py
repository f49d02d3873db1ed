"""The training of s1: the golden loss, parts that add up, what moves, and that it learns."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden
from support.minibatches import batch_of, part_of, totals_of
from support.tiny_voice import TRAINED_S1, TRAINED_S2
from torch import Tensor

from voicemill.model.adapters.adapting import adapt
from voicemill.model.checkpoints.loading import load_s1
from voicemill.model.checkpoints.writing import write
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Adaptation, S1Settings
from voicemill.model.training.objectives.s1 import Coder, S1Objective
from voicemill.storage.errors import ConfigError


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def teacher() -> Synthesizer:
    network = Synthesizer(TRAINED_S2, posterior=False)
    network.load_state_dict(golden.fill(network.state_dict()))
    return network.eval()


def made(settings: S1Settings | None = None) -> S1Objective:
    network = Text2Semantic(TRAINED_S1)
    network.load_state_dict(golden.fill(network.state_dict(), "tiny.model."))
    return S1Objective(network, Coder(teacher()), settings or S1Settings())


def summed(objective: S1Objective, parts: list[Minibatch]) -> Tensor:
    return torch.stack([objective.losses("s1", part)["cross_entropy"] for part in parts]).mean()


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not golden.FOLDER.is_dir(), reason="../shared/gptsovits is not here")
def test_the_golden_loss() -> None:
    """Codes are given by a quantizer whose entry n lies at n: what content says is what is predicted."""
    gold = dict(np.load(golden.FOLDER / "s1_v2_gold.npz"))
    network = Text2Semantic()
    network.load_state_dict(golden.fill(network.state_dict(), "model."))
    codes, counts = torch.from_numpy(gold["tr_y"]), torch.tensor([22, 15])
    line = Synthesizer(S2Config(ssl_dim=1), posterior=False)
    with torch.no_grad():
        line.quantizer.embed.copy_(torch.arange(1024.0)[:, None])
        line.ssl_proj.weight.fill_(0.5)
        line.ssl_proj.bias.zero_()
    bert = golden.inp("s1.tr_bert", (2, 1024, 12))
    bert[1, :, 8:] = 0
    frames = 2 * counts + torch.tensor([0, 1])
    batch = Minibatch(
        ids=("a", "b"),
        speakers=("x", "x"),
        phones=torch.from_numpy(gold["tr_phones"]),
        phone_lengths=torch.tensor([12, 8]),
        content=codes[:, None].clamp(max=1023).float().repeat_interleave(2, -1),
        lengths=frames,
        seeds=torch.zeros(2, dtype=torch.int64),
        totals=totals_of(frames),
        bert=bert,
    )
    objective = S1Objective(network.eval(), Coder(line), S1Settings())
    expected = float(gold["loss_b2_row0"] + gold["loss_b2_row1"])
    assert objective.losses("s1", batch)["cross_entropy"].item() * 39 == pytest.approx(expected, rel=1e-4)
    assert objective.validate(batch)["loss"] == pytest.approx(expected, rel=1e-4)


def test_codes_are_those_of_speaking() -> None:
    network, batch = teacher(), batch_of([21, 9, 2])
    with torch.autocast("cpu", torch.bfloat16):
        codes, counts = Coder(network)(batch.content, batch.lengths)
    assert counts == [10, 4, 1]
    for row, (count, length) in enumerate(zip(counts, batch.lengths.tolist(), strict=True)):
        assert torch.equal(codes[row, :count], network.codes(batch.content[row : row + 1, :, :length])[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [[[0, 1], [2, 3]], [[0, 2, 3], [1]], [[3], [1], [0], [2]]])
def test_the_mean_over_parts_is_the_whole(rows: list[list[int]], smoothing: float) -> None:
    objective, batch = made(S1Settings(label_smoothing=smoothing)), batch_of([20, 9, 13, 31])
    network = objective.modules["s1"]
    whole = summed(objective, [batch])
    whole.backward()
    slopes = {key: weight.grad.clone() for key, weight in network.named_parameters() if weight.grad is not None}
    network.zero_grad()
    parts = summed(objective, [part_of(batch, some, len(rows)) for some in rows])
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=0)
    parts.backward()
    for key, weight in network.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, slopes[key], rtol=1e-3, atol=1e-6)


def test_optimisers() -> None:
    objective = made()
    [(name, optimiser)] = objective.optimisers(1e-3).items()
    assert name == "s1"
    matrices, vectors = optimiser.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.01, 0)
    assert [group["scale"] for group in optimiser.param_groups] == [1, 1]
    assert {p.dim() for p in vectors["params"]} == {1}
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(objective.modules["s1"].parameters()))


def learnt(objective: S1Objective, batch: Minibatch, count: int) -> None:
    optimiser = objective.optimisers(3e-3)["s1"]
    for _ in range(count):
        objective.modules["s1"].train().zero_grad()
        summed(objective, [batch]).backward()
        optimiser.step()


def test_one_batch_learnt_by_heart() -> None:
    objective, batch = made(), batch_of([20, 9, 13])
    before = objective.validate(batch)
    learnt(objective, batch, 60)
    after = objective.validate(batch)
    assert after["loss"] < 0.1 * before["loss"]
    assert after["top3"] == after["top3/weight"] == 20
    assert (after["loss/weight"], before["top3"] < 15) == (23, True)


def test_adapters_alone_move() -> None:
    objective, batch = made(), batch_of([20, 9])
    network = objective.modules["s1"]
    adapt(network, "s1", Adaptation(kind="lora"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    learnt(objective, batch, 2)
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(".lora_" in key for key in moved)


def test_validation_has_no_smoothing_and_no_dropout() -> None:
    batch = batch_of([20, 9])
    plain = made().validate(batch)
    objective = made(S1Settings(label_smoothing=0.5))
    objective.modules["s1"].train()
    assert objective.validate(batch) == plain
    assert objective.losses("s1", batch)["cross_entropy"] != made().losses("s1", batch)["cross_entropy"]


def test_bert_features_reach_the_loss() -> None:
    objective, batch = made(), batch_of([20, 9])
    bert = torch.randn(2, 8, batch.phones.shape[1], generator=torch.Generator().manual_seed(1))
    assert summed(objective, [batch]) != summed(objective, [replace(batch, bert=bert)])


def test_sample() -> None:
    sample = made().sample(batch_of([21, 9]))
    assert not sample.waves
    assert [image.shape for image in sample.images.values()] == [(13, 10), (16, 10)]
    assert all(image.min() >= -10 and image.max() <= 0 for image in sample.images.values())


def test_checkpoints_are_what_was_trained(tmp_path: Path) -> None:
    objective, batch = made(), batch_of([20, 9])
    learnt(objective, batch, 2)
    [(stem, checkpoint)] = objective.checkpoints({"step": 2}).items()
    assert stem == "s1"
    assert write(tmp_path / "s1.safetensors", checkpoint).lineage == {"step": 2}
    again = S1Objective(load_s1(tmp_path / "s1.safetensors"), Coder(teacher()), S1Settings())
    assert again.validate(batch) == objective.validate(batch)


def test_another_number_of_codes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"s1 has 11 codes, the quantizer of s2 has 12"):
        S1Objective(Text2Semantic(replace(TRAINED_S1, codes=11)), Coder(teacher()), S1Settings())
