"""A synthesizer prepared for inference gives the same speech."""

import copy
import dataclasses
import time
from collections.abc import Iterator

import pytest
import torch
from support.golden import fill, inp
from torch import Tensor, nn

from voicemill.model.device import Placement, can_pack
from voicemill.model.s2.eight_bit import NARROWEST, ZERO, Bytes, EightBitBlock, has_fast_bytes, peaks
from voicemill.model.s2.generator import context
from voicemill.model.s2.inference import prepare
from voicemill.model.s2.packed import Packed, PackedBlock, PackedGenerator, padded_length, phases
from voicemill.model.s2.synthesizer import Synthesizer

pytestmark = pytest.mark.skipif(
    not can_pack(), reason="this torch has no oneDNN: the folded generator is used, tested elsewhere"
)
bytes_only = pytest.mark.skipif(not has_fast_bytes(), reason="this CPU or torch has no fast products of bytes")
CPU = torch.device("cpu")


def ready(small: Synthesizer, dtype: torch.dtype) -> Synthesizer:
    return prepare(copy.deepcopy(small), Placement(CPU, dtype, "test"))


def sample(small: Synthesizer, batch: int = 1) -> tuple[Tensor, Tensor]:
    return inp("z", (batch, small.config.hidden, 43)), inp("ge", (batch, small.config.style, 1))


def loudness(wave: Tensor) -> float:
    return float(wave.square().mean().sqrt())


@pytest.mark.parametrize(("rate", "kernel"), [(10, 16), (8, 16), (2, 8), (2, 2), (10, 20), (3, 5)])
def test_phases_of_a_transposed_convolution(rate: int, kernel: int) -> None:
    torch.manual_seed(rate)
    up = nn.ConvTranspose1d(4, 6, kernel, rate, padding=(kernel - rate) // 2)
    x = torch.randn(2, 4, 9)
    weight = phases(up.weight, rate, up.padding[0])
    y = nn.functional.conv1d(x, weight, up.bias.repeat(rate), padding=weight.shape[-1] // 2)
    y = y.unflatten(1, (rate, 6)).permute(0, 2, 3, 1).flatten(2)
    torch.testing.assert_close(y, up(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_packed_convolution(dilation: int) -> None:
    torch.manual_seed(0)
    weight, bias, x, other = torch.randn(8, 8, 5), torch.randn(8), torch.randn(1, 8, 30), torch.randn(1, 8, 30)
    plain = nn.functional.conv1d(x, weight, bias, padding=2 * dilation, dilation=dilation)
    with torch.inference_mode():
        layer = Packed(weight, bias, dilation, torch.float32)
        wide, added = (value[:, :, None].contiguous(memory_format=torch.channels_last) for value in (x, other))
        torch.testing.assert_close(layer(wide)[:, :, 0], plain, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            layer(wide, active=True)[:, :, 0], nn.functional.leaky_relu(plain, 0.1), atol=1e-4, rtol=1e-4
        )
        assert layer.add_to(added, wide).data_ptr() == added.data_ptr()
        torch.testing.assert_close(added[:, :, 0], plain + other, atol=1e-4, rtol=1e-4)


def test_float32_is_the_same(small: Synthesizer) -> None:
    z, ge = sample(small, 2)
    model = ready(small, torch.float32)
    assert isinstance(model.dec, PackedGenerator)
    with torch.inference_mode():
        torch.testing.assert_close(model.waveform(z, ge), small.waveform(z, ge), atol=1e-5, rtol=0)


def test_bfloat16_is_close(small: Synthesizer) -> None:
    z, ge = sample(small)
    with torch.inference_mode():
        wave, other = small.waveform(z, ge), ready(small, torch.bfloat16).waveform(z, ge)
    assert other.dtype == torch.float32
    assert 0 < loudness(wave - other) < 0.02 * loudness(wave)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_and_streams_of_a_prepared_one(small: Synthesizer, dtype: torch.dtype) -> None:
    z, ge = sample(small, 2)
    model = ready(small, dtype)
    bound = 1e-5 if dtype is torch.float32 else 0.01
    with torch.inference_mode():
        batch = model.waveform(z, ge, torch.tensor([43, 23]))
        alone = model.waveform(z[1:, :, :23], ge[1:])
        whole = model.waveform(z, ge)
        parts = torch.cat(list(model.stream(z, ge, 9)), 1)
    assert loudness(batch[1, : alone.shape[1]] - alone[0]) < bound * loudness(alone)
    assert batch[1, alone.shape[1] :].eq(0).all()
    assert loudness(parts - whole) < bound * loudness(whole)


def test_a_stream_takes_a_block_of_the_latent_when_a_piece_needs_it(small: Synthesizer) -> None:
    model = ready(small, torch.float32)
    z, ge = inp("z", (1, small.config.hidden, 200)), inp("ge", (1, small.config.style, 1))
    behind = context(small.config) + model.flow.context
    taken: list[int] = []

    def blocks() -> Iterator[Tensor]:
        for block in z.split(10, -1):
            taken.append(block.shape[-1])
            yield block

    with torch.inference_mode():
        stream = model.stream(blocks(), ge, 9)
        parts = [next(stream)]
        assert 9 + behind <= sum(taken) < 9 + behind + 10
        parts += stream
        torch.testing.assert_close(torch.cat(parts, 1), model.waveform(z, ge), atol=1e-5, rtol=0)


def test_rounded_lengths() -> None:
    assert [padded_length(n) for n in (1, 4, 5, 124, 125, 252, 253)] == [4, 4, 12, 124, 156, 252, 284]
    assert [padded_length(n, 3) for n in (1, 12, 13, 120, 121, 252, 253)] == [12, 12, 24, 120, 144, 252, 288]


@pytest.fixture(scope="module")
def wide(small: Synthesizer) -> Synthesizer:
    """Its first stage is computed in bytes, its others are not."""
    config = dataclasses.replace(
        small.config, upsample_channels=2 * NARROWEST, resblock_kernels=(3, 7), resblock_dilations=(1, 3, 5)
    )
    model = Synthesizer(config, posterior=False).eval()
    model.load_state_dict(fill(model.state_dict()))
    return model


def in_bytes(model: Synthesizer) -> Synthesizer:
    return prepare(copy.deepcopy(model), Placement(CPU, torch.bfloat16, "test"), eight_bits=True)


@bytes_only
def test_bytes_are_close(wide: Synthesizer) -> None:
    z, ge = sample(wide)
    model = in_bytes(wide)
    kinds = [type(block) for block in model.dec.blocks]
    assert kinds[:2] == [EightBitBlock] * 2
    assert set(kinds[2:]) == {PackedBlock}
    with torch.inference_mode():
        wave, other = wide.waveform(z, ge), model.waveform(z, ge)
    assert 0 < loudness(wave - other) < 0.06 * loudness(wave)


@bytes_only
def test_rows_and_streams_in_bytes(wide: Synthesizer) -> None:
    z, ge = sample(wide, 2)
    model = in_bytes(wide)
    with torch.inference_mode():
        batch = model.waveform(z, ge, torch.tensor([43, 23]))
        whole = model.waveform(z, ge)
        alone = model.waveform(z[1:, :, :23], ge[1:])
        parts = torch.cat(list(model.stream(z, ge, 9)), 1)
    assert loudness(batch[1, : alone.shape[1]] - alone[0]) < 0.02 * loudness(alone)
    assert batch[1, alone.shape[1] :].eq(0).all()
    assert loudness(parts - whole) < 0.02 * loudness(whole)


@bytes_only
@pytest.mark.parametrize("dilation", [1, 3, 5])
def test_a_new_length_compiles_no_kernel_for_each_sample(dilation: int) -> None:
    """A new length compiles in milliseconds; with time as the height of a picture it took a second for each of 36."""
    torch.manual_seed(dilation)
    layer = Bytes(torch.randn(64, 64, 3), torch.zeros(64), dilation)
    x = torch.randint(0, 255, (1, 64, 1, 12_000), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    used = []
    for _ in range(4):
        began = time.process_time()
        with torch.inference_mode():
            layer(x)
        used.append(time.process_time() - began)
    assert used[0] < min(used[1:]) + 0.2


@bytes_only
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_convolution_of_bytes(dilation: int) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randint(-127, 128, (16, 16, 5)).float(), torch.randn(16)
    weight[:, 0, 0] = 127  # the scale of each output is 1: nothing is rounded
    x = torch.randint(0, 256, (1, 16, 1, 30), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    signal = x[:, :, 0].float() - ZERO
    plain = nn.functional.conv1d(signal, weight, bias, padding=2 * dilation, dilation=dilation)
    with torch.inference_mode():
        layer = Bytes(weight, bias, dilation)
        parts = layer(x)[:, :, 0].float()
        assert parts.shape == (dilation, 16, 30 // dilation)
        for part in range(dilation):
            torch.testing.assert_close(parts[part], plain[0, :, part::dilation], rtol=0.01, atol=1.0)
        if dilation == 1:
            other = torch.zeros(1, 16, 1, 30, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(layer.add_to(other, x)[:, :, 0].float(), plain, rtol=0.01, atol=1.0)


@bytes_only
def test_peaks_know_every_channel_and_leave_no_trace(wide: Synthesizer) -> None:
    actual = peaks(wide)
    again = peaks(wide)
    assert len(actual) == sum(len(block.convs1) + len(block.convs2) for block in wide.dec.resblocks)
    for conv, values in actual.items():
        assert values.shape == (conv.in_channels,)
        assert values.equal(again[conv])
        assert not conv._forward_pre_hooks


@bytes_only
def test_channels_of_any_loudness(wide: Synthesizer) -> None:
    """Scaling the inside of a block up and down again changes nothing: bytes follow, by channel."""
    z, ge = sample(wide)
    other = copy.deepcopy(wide)
    factors = 10.0 ** torch.linspace(-3, 3, NARROWEST)
    with torch.no_grad():
        for block in other.dec.resblocks[:2]:
            for first, second in zip(block.convs1, block.convs2, strict=True):
                first.fold(), second.fold()
                first.weight *= factors[:, None, None]
                first.bias *= factors
                second.weight /= factors[:, None]
    with torch.inference_mode():
        exact = wide.waveform(z, ge)
        torch.testing.assert_close(other.waveform(z, ge), exact, atol=1e-4, rtol=0)
        assert loudness(in_bytes(other).waveform(z, ge) - exact) < 0.05 * loudness(exact)


def test_what_is_left(small: Synthesizer) -> None:
    model = ready(small, torch.bfloat16)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not [key for key in model.state_dict() if key.startswith("enc_q.") or key.endswith("weight_v")]
    assert hasattr(small, "enc_q")
    codes, phones = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])
    ge = model.reference([inp("spec", (33, 12)).abs()])
    assert model.decode(codes, phones, ge).shape == (1, 6 * small.config.hop)
