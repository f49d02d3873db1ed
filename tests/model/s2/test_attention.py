"""Relative attention against its definition, position by position."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.s2.layers import Attention, Encoder, by_distance, by_position


@given(st.integers(1, 12), st.integers(1, 5))
def test_a_band_is_spread_and_gathered(time: int, window: int) -> None:
    torch.manual_seed(time)
    band, square = torch.randn(2, time, 2 * window + 1), torch.randn(2, time, time)
    for i in range(time):
        for d in range(2 * window + 1):
            j = i + d - window
            if 0 <= j < time:
                assert torch.equal(by_position(band)[:, i, j], band[:, i, d])
                assert torch.equal(by_distance(square, window)[:, i, d], square[:, i, j])
            else:
                assert by_distance(square, window)[:, i, d].eq(0).all()
    total = (by_position(band) * square).sum()
    torch.testing.assert_close(total, (band * by_distance(square, window)).sum(), atol=1e-4, rtol=1e-4)


def test_attention_by_its_definition() -> None:
    torch.manual_seed(0)
    layer, x = Attention(8, 2, window=2), torch.randn(1, 8, 7)
    with torch.no_grad():
        actual = layer(x, x, torch.ones(1, 1, 7))
        q, k, v = layer.conv_q(x)[0].T, layer.conv_k(x)[0].T, layer.conv_v(x)[0].T
        out = torch.zeros(7, 8)
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            for i in range(7):
                keys = [k[j, part] + (layer.emb_rel_k[0, j - i + 2] if abs(j - i) <= 2 else 0) for j in range(7)]
                values = [v[j, part] + (layer.emb_rel_v[0, j - i + 2] if abs(j - i) <= 2 else 0) for j in range(7)]
                weights = torch.stack([q[i, part] @ key / math.sqrt(4) for key in keys]).softmax(0)
                out[i, part] = weights @ torch.stack(values)
        torch.testing.assert_close(actual, layer.conv_o(out.T[None]), atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    encoder, x = Encoder(8, 12, 2, 2, 3, 2, 0.0).eval(), torch.randn(1, 8, 5)
    padded = torch.cat((x, torch.full((1, 8, 4), 1e3)), -1)
    mask = (torch.arange(9) < 5).float()[None, None]
    with torch.no_grad():
        alone, batched = encoder(x, torch.ones(1, 1, 5)), encoder(padded, mask)
    torch.testing.assert_close(batched[..., :5], alone, atol=1e-5, rtol=1e-5)
    assert batched[..., 5:].eq(0).all()
