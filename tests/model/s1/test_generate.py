"""The decoding loop: the codes of a row depend on it alone, stop rules, chunks, limits."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import golden
from support.tiny_voice import S1, random_prefix
from torch import Tensor

from voicemill.model.s1.cached import CachedEngine
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.generate import MIN_CODES, Continuation, Sampling, Stop, generate, stream
from voicemill.model.s1.prefix import Prefix
from voicemill.storage.errors import ConfigError


@pytest.fixture(scope="module")
def engine() -> CachedEngine:
    module = Text2Semantic(S1)
    weights = golden.fill(module.state_dict(), "tiny.model.")
    weights["ar_predict_layer.weight"][16] *= 1.5
    module.load_state_dict(weights)
    return CachedEngine(module)


class Scripted:
    """An engine of four codes and EOS whose logits are written down: the loop itself is under test."""

    def __init__(self, scripts: Sequence[Sequence[Sequence[float]]]) -> None:
        self.config = S1Config(phonemes=40, codes=4, dim=2, heads=1, layers=1)
        self.name = "scripted"
        self.steps = [torch.tensor(step) for step in zip(*scripts, strict=True)]
        self.fed: list[list[int]] = []

    def begin(self, prefixes: Sequence[Prefix], room: int) -> "Scripted":
        return self

    @property
    def logits(self) -> Tensor:
        return self.steps[len(self.fed)]

    def advance(self, codes: Tensor) -> None:
        self.fed.append(codes.tolist())


def row(prompt: list[int] | None = None) -> Prefix:
    return Prefix(torch.tensor([1]), torch.tensor(prompt or [], dtype=torch.int64))


A, B, EOS = [9.0, 0, 0, 0, 1], [0, 9.0, 0, 0, 1], [1.0, 0, 0, 0, 9]


def test_eos_is_excluded_from_the_first_eleven_codes() -> None:
    [result] = generate(Scripted([[EOS] * 20]), [row()], Sampling(top_k=1, repetition_penalty=1), [0])
    assert result.codes.tolist() == [0] * MIN_CODES == [0] * 11
    assert result.stop is Stop.DRAWN


def test_rows_end_by_themselves() -> None:
    scripts = [[A] * 12 + [EOS] * 3, [B] * 14 + [EOS], [A] * 15]
    engine = Scripted(scripts)
    results = generate(engine, [row()] * 3, Sampling(top_k=1, repetition_penalty=1), [0, 1, 2], max_codes=15)
    assert [result.codes.tolist() for result in results] == [[0] * 12, [1] * 14, [0] * 15]
    assert [result.stop for result in results] == [Stop.DRAWN, Stop.DRAWN, Stop.LIMIT]


def test_ends_when_eos_is_likeliest_though_another_code_was_drawn() -> None:
    """EOS has e/(e + 4) = 40 %; whatever is drawn, twelve codes never come out."""
    close = [0.0, 0, 0, 0, 1]
    sampling = Sampling(top_k=0, repetition_penalty=1)
    results = [generate(Scripted([[close] * 20]), [row()], sampling, [seed])[0] for seed in range(30)]
    assert {len(result.codes) for result in results} == {11}
    assert {result.stop for result in results} == {Stop.DRAWN, Stop.LIKELIEST}


def test_the_likeliest_is_taken_after_the_penalty() -> None:
    """Code 0 leads until it is penalised: 9 / 1.35 < 8."""
    script = [[9.0, 0, 0, 0, 8]] * 20
    sampling = Sampling(top_k=1)
    [result] = generate(Scripted([script]), [row()], sampling, [0])
    assert len(result.codes) == 11
    script = [[9.0, 0, 0, 0, 6]] * 20
    [result] = generate(Scripted([script]), [row()], sampling, [0], max_codes=20)
    assert len(result.codes) == 20


def test_the_penalty_looks_at_the_prompt() -> None:
    script = [[9.0, 8, 0, 0, 0]] * 3
    sampling = Sampling(top_k=1)
    fresh, heard = (generate(Scripted([script]), [row(prompt)], sampling, [0], 1)[0] for prompt in ([], [2, 0]))
    assert fresh.codes.tolist() == [0]
    assert heard.codes.tolist() == [1]


def test_only_codes_that_count_are_fed_back() -> None:
    engine = Scripted([[A, B, A]])
    generate(engine, [row()], Sampling(top_k=1, repetition_penalty=1), [0], max_codes=3)
    assert engine.fed == [[0], [1]]


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=4), st.integers(0, 999))
def test_a_batch_gives_the_codes_that_its_rows_give_alone(
    engine: CachedEngine, sizes: list[tuple[int, int]], seed: int
) -> None:
    prefixes = [random_prefix(seed + number, *size) for number, size in enumerate(sizes)]
    seeds = [seed + number % 2 for number in range(len(sizes))]
    sampling = Sampling(top_k=5, top_p=0.9, temperature=0.8)
    together = generate(engine, prefixes, sampling, seeds, 25)
    for prefix, one, result in zip(prefixes, seeds, together, strict=True):
        [alone] = generate(engine, [prefix], sampling, [one], 25)
        assert said(alone) == said(result)
        assert len(result.codes) >= MIN_CODES


def test_seeds_repeat_and_differ(engine: CachedEngine) -> None:
    prefix = random_prefix(5, 6, 4)
    results = [generate(engine, [prefix], Sampling(), [seed], 60)[0] for seed in (1, 1, 2, 3, 4)]
    assert said(results[0]) == said(results[1])
    assert len({tuple(result.codes.tolist()) for result in results}) == 4


@pytest.mark.parametrize("chunk", [1, 7, 25, 100])
def test_chunks_join_to_the_whole(engine: CachedEngine, chunk: int) -> None:
    prefix = random_prefix(8, 6, 4)
    [whole] = generate(engine, [prefix], Sampling(), [3], 50)
    parts = list(stream(engine, prefix, Sampling(), 3, chunk, 50))
    assert torch.cat(parts).tolist() == whole.codes.tolist()
    assert {len(part) for part in parts[:-1]} <= {chunk}
    assert 1 <= len(parts[-1]) <= chunk


def test_chunks_come_before_the_end() -> None:
    engine = Scripted([[A] * 100])
    parts = stream(engine, row(), Sampling(top_k=1, repetition_penalty=1), 0, chunk=4, max_codes=100)
    assert next(parts).tolist() == [0] * 4
    assert len(engine.fed) == 3
    parts.close()  # type: ignore[attr-defined]


def test_nothing_to_say(engine: CachedEngine) -> None:
    assert generate(engine, [], Sampling(), []) == []


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (Prefix(torch.tensor([], dtype=torch.int64), torch.tensor([1])), "at least 1"),
        (Prefix(torch.tensor([40]), torch.tensor([1])), "0 to 39"),
        (Prefix(torch.tensor([-1]), torch.tensor([1])), "0 to 39"),
        (Prefix(torch.tensor([1]), torch.tensor([16])), "0 to 15"),
        (Prefix(torch.tensor([1.5]), torch.tensor([1])), "whole numbers"),
        (Prefix(torch.tensor([[1]]), torch.tensor([1])), "one-dimensional"),
        (Prefix(torch.tensor([1, 2]), torch.tensor([1]), torch.zeros(24, 3)), r"expected \(24, 2\)"),
    ],
)
def test_prefixes_that_do_not_fit_are_refused(engine: CachedEngine, prefix: Prefix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(engine, [prefix], Sampling(), [0])


def test_settings_that_cannot_be_are_refused(engine: CachedEngine) -> None:
    prefix = random_prefix(5, 6, 4)
    with pytest.raises(ConfigError, match="max_codes = 0"):
        generate(engine, [prefix], Sampling(), [0], 0)
    with pytest.raises(ValueError, match="1 prefixes and 2 seeds"):
        generate(engine, [prefix], Sampling(), [0, 1])
    with pytest.raises(ConfigError, match="chunk = 0"):
        next(stream(engine, prefix, Sampling(), 0, 0))


def said(result: Continuation) -> tuple[list[int], Stop]:
    return result.codes.tolist(), result.stop
