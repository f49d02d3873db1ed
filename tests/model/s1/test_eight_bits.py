"""s1 in 8 bits: the reader of the prefix, the scales of the cache, and the cache itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_voice import random_prefix, tiny_s1

from voicemill.model.s1 import eight_bit
from voicemill.model.s1.cached import CachedEngine
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.eight_bit import EightBitLinear, EightBitReader, cache_scales, product, scales_of
from voicemill.model.s1.graph import Bits
from voicemill.model.s1.graph_engine import GraphEngine
from voicemill.model.s1.prefix import Prefix
from voicemill.storage.errors import ConfigError


def random_levels(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-127, 128, shape, generator=generator).to(torch.int8)


@given(st.integers(1, 40), st.sampled_from([16, 48, 64, 96]), st.integers(1, 40), st.integers(0, 99))
def test_a_product_is_exact(rows: int, inner: int, columns: int, seed: int) -> None:
    a, b = random_levels(seed, rows, inner), random_levels(seed + 1, inner, columns)
    assert torch.equal(product(a, b), (a.long() @ b.long()).float())


def test_where_integers_are_not_multiplied_the_product_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = random_levels(1, 9, 64), random_levels(2, 64, 33)
    expected = product(a, b)
    monkeypatch.setattr(eight_bit, "_multiplies_integers", lambda: False)
    assert torch.equal(product(a, b), expected)


@given(st.integers(1, 9), st.integers(0, 99), st.floats(1e-6, 1e6))
def test_a_row_is_rounded_by_its_own_scale(rows: int, seed: int, loud: float) -> None:
    x = torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))
    x[0] *= loud
    scales = scales_of(x)
    levels = (x / scales).round()
    assert (levels.abs().amax(1) == 127).all()
    assert ((levels * scales - x).abs() <= scales * 0.5001).all()
    assert scales_of(torch.zeros(2, 3)).tolist() == [[pytest.approx(1e-20)]] * 2


@given(st.integers(1, 9), st.integers(0, 99))
def test_a_linear_layer_is_off_by_what_its_scales_allow(rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((rows, 64), (48, 64), (48,)))
    output = EightBitLinear(weight, bias)(x)
    # half a level of x for every input, times the weight, and the other way round
    bound = scales_of(x) * weight.abs().sum(1) / 2 + x.abs().sum(1, keepdim=True) * scales_of(weight)[:, 0] / 2
    bound += 64 / 4 * scales_of(x) * scales_of(weight)[:, 0]
    assert ((output - (x @ weight.T + bias)).abs() <= bound * 1.001 + 1e-5).all()


@settings(max_examples=8)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 99))
def test_reading_is_the_forward_pass(phones: int, codes: int, seed: int) -> None:
    model, prefix = tiny_s1(), random_prefix(seed, phones, codes)
    kept = torch.zeros(2, 2, 4, phones + codes, 16)
    assert prefix.bert is not None
    with torch.inference_mode():
        x = torch.cat([model.text(prefix.phones[None], prefix.bert[None]), model.audio(prefix.prompt[None])], 1)
        logits = EightBitReader(model).read(x[0], phones, kept.__setitem__)
        expected = CachedEngine(model).begin([prefix], 1)
    apart = logits - expected.logits[0]  # over 625 prefixes at most .046 in the mean, .111 of one logit
    assert apart.square().mean().sqrt() < 0.06
    assert apart.abs().max() < 0.15
    error = kept - expected.cache[:, :, 0, :, :-1]
    assert error.pow(2).mean().sqrt() < 0.03 * expected.cache[:, :, 0, :, :-1].std()


def test_the_scales_repeat_and_leave_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_s1()
    reader = EightBitReader(model)
    scales = cache_scales(reader, model)
    assert scales.shape == (2, 2, 4, 16)
    assert torch.equal(cache_scales(reader, model), scales)
    monkeypatch.setattr(eight_bit, "HEADROOM", 1.0)
    torch.testing.assert_close(cache_scales(reader, model) * 2, scales)
    long = CachedEngine(model).begin([random_prefix(1, 300, 900)], 1).cache[:, :, 0, :, :-1]
    assert ((long.abs() / scales[:, :, :, None]) <= 127).float().mean() > 0.9999


@pytest.mark.parametrize(("dim", "heads"), [(64, 4), (64, 1), (64, 8), (48, 2), (16, 2)])
def test_heads_of_any_size(dim: int, heads: int) -> None:
    model = tiny_s1(S1Config(phonemes=40, codes=16, dim=dim, heads=heads, layers=2, bert=24))
    output, exact = GraphEngine(model, 8, 1), CachedEngine(model)
    prefixes = [random_prefix(1, 5, 4), random_prefix(2, 2, 0)]
    first, second = output.begin(prefixes, 6), exact.begin(prefixes, 6)
    for code in range(6):
        off = (first.logits - second.logits).pow(2).mean().sqrt() / second.logits.std()
        assert off < 0.1
        for decoding in (first, second):
            decoding.advance(torch.tensor([code, 15 - code]))


@pytest.mark.parametrize("bits", [32, 8])
def test_heads_that_the_graph_does_not_take_are_refused(bits: Bits) -> None:
    with pytest.raises(ConfigError, match=r"heads of 4: .* a multiple of 8; set precision = 'reference'"):
        GraphEngine(tiny_s1(S1Config(phonemes=40, codes=16, dim=16, heads=4, layers=1, bert=24)), bits, 1)


def test_steps_fill_the_cache_as_reading_does() -> None:
    output = GraphEngine(tiny_s1(), 8, 1)
    whole = random_prefix(3, 6, 9)
    stepped = output.begin([Prefix(whole.phones, whole.prompt[:0], whole.bert)], 9)
    for code in whole.prompt:
        stepped.advance(code[None])
    read = output.begin([whole], 1)
    filled = slice(6, 6 + 9)
    off = np.abs(stepped.cache[:, :, :, :, filled].astype(int) - read.cache[:, :, :, :, filled])
    assert off.max() <= 6
    assert off.mean() < 0.6
    assert np.abs(read.cache).max() > 32


def test_values_beyond_the_scales_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not come out with the other sign, neither where a prefix is read nor in a step."""
    monkeypatch.setattr(eight_bit, "HEADROOM", 0.3)
    output = GraphEngine(tiny_s1(), 8, 1)
    whole = random_prefix(3, 6, 9)
    stepped = output.begin([Prefix(whole.phones, whole.prompt[:0], whole.bert)], 9)
    for code in whole.prompt:
        stepped.advance(code[None])
    read = output.begin([whole], 1).cache[:1, :, :, :, 6:15]  # a later layer would differ, as what is cut off adds up
    written = stepped.cache[:1, :, :, :, 6:15]
    assert (read == 127).any()
    assert (read == -127).any()
    assert (written[read == 127] >= 100).all()
    assert (written[read == -127] <= -100).all()
