"""The training loss: which positions count, smoothing, accuracy, and that it trains."""

import math
from dataclasses import replace

import pytest
import torch
from support.tiny_voice import S1, tiny_s1
from torch.nn.functional import log_softmax

from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.loss import IGNORED, loss, targets

PHONES = torch.randint(40, (3, 7), generator=torch.Generator().manual_seed(1))
CODES = torch.randint(16, (3, 5), generator=torch.Generator().manual_seed(2))


def test_targets_literally() -> None:
    codes = torch.tensor([[3, 4, 5], [6, 7, 16], [0, 0, 0]])
    i = IGNORED
    assert targets(codes, [3, 1, 0], 16).tolist() == [[3, 4, 5, 16], [6, 16, i, i], [16, i, i, i]]
    assert targets(codes, None, 16)[:, -1].tolist() == [16, 16, 16]


@torch.inference_mode()
def test_the_sum_by_hand() -> None:
    model = tiny_s1()
    logs = log_softmax(model(PHONES, None, CODES), -1)
    by_hand = -sum(float(logs[0, i, code]) for i, code in enumerate([*CODES[0].tolist(), 16]))
    result = loss(model, PHONES[:1], None, CODES[:1])
    assert float(result.total) == pytest.approx(by_hand, rel=1e-5)
    assert result.tokens == 6


@torch.inference_mode()
def test_padding_has_no_part() -> None:
    model = tiny_s1()
    sizes = [(7, 5), (4, 2), (1, 0)]
    together = loss(model, PHONES, None, CODES, *map(list, zip(*sizes, strict=True)))
    rows = [loss(model, PHONES[i : i + 1, :p], None, CODES[i : i + 1, :c]) for i, (p, c) in enumerate(sizes)]
    assert float(together.total) == pytest.approx(sum(float(row.total) for row in rows), rel=1e-5)
    assert together.tokens == 10
    assert together.accuracy == pytest.approx((rows[0].accuracy * 5 + rows[1].accuracy * 2) / 7)
    assert math.isnan(rows[2].accuracy)


@torch.inference_mode()
def test_smoothing_mixes_in_the_mean_over_all_codes() -> None:
    model = tiny_s1()
    logs = log_softmax(model(PHONES[:1], None, CODES[:1]), -1)
    uniform = -float(logs.mean(-1).sum())
    plain, smooth = (float(loss(model, PHONES[:1], None, CODES[:1], smoothing=s).total) for s in (0.0, 0.1))
    assert smooth == pytest.approx(0.9 * plain + 0.1 * uniform, rel=1e-5)


def test_it_trains() -> None:
    """Three rows of different lengths are learned by heart."""
    torch.manual_seed(0)
    model = Text2Semantic(replace(S1, dropout=0.0)).train()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(60):
        result = loss(model, PHONES, None, CODES, [7, 4, 6], [5, 2, 4])
        optimiser.zero_grad()
        result.total.backward()
        optimiser.step()
    assert result.total.item() / result.tokens < 0.1
    assert result.accuracy == 1
    assert all(p.grad is not None for name, p in model.named_parameters() if name != "bert_proj.weight")
