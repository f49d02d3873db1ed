"""CTC: emissions independent of their batch, and the best path against a reference that tries all paths."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_speech_models import LETTERS, tiny_ctc

from voicemill.model.device import Placement
from voicemill.model.speech.ctc import CtcModel, bundle_file
from voicemill.model.speech.ctc_path import TAIL, Emission, place_words, tokens_of, viterbi
from voicemill.model.speech.words import Unalignable
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.units import RATE

CPU32 = Placement(torch.device("cpu"), torch.float32, "test")
CPU16 = Placement(torch.device("cpu"), torch.bfloat16, "test")
DICTIONARY = {char.lower(): number for number, char in enumerate(LETTERS)}
FRAME = RATE // 50


@pytest.fixture(scope="module", params=["group", "layer"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ctc(tmp_path_factory.mktemp("ctc") / request.param, request.param)


def clips() -> list[Wave]:
    rng = np.random.default_rng(0)
    lengths = (1.0, 2.7, 0.011, 2.7, 1.3, 4.1)
    return [(rng.standard_normal(round(s * RATE)) * rng.uniform(0.01, 0.3)).astype(np.float32) for s in lengths]


def test_emissions_do_not_depend_on_the_batch(folder: Path) -> None:
    single, batched = CtcModel("tiny", folder, CPU32), CtcModel("tiny", folder, CPU32, together=True)
    alone = [single.emissions([clip])[0] for clip in clips()]
    assert all(torch.equal(a.scores, b.scores) for a, b in zip(alone, single.emissions(clips()), strict=True))
    for batch_s in (1e-3, 6.0, 60.0):
        together = batched.emissions(clips(), batch_s)
        assert [e.samples for e in together] == [len(clip) for clip in clips()]
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one.scores, other.scores, atol=2e-4, rtol=1e-4)


def test_emissions_are_those_of_the_whole_model(folder: Path) -> None:
    import soxr
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    reference = Wav2Vec2ForCTC.from_pretrained(folder).eval()
    prepare = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    clip = clips()[1]
    low = soxr.resample(clip, RATE, 16000)
    inputs = torch.from_numpy(prepare(low, sampling_rate=16000)["input_values"][0])[None]
    with torch.inference_mode():
        expected = reference(inputs).logits[0].log_softmax(-1)
    found = CtcModel("tiny", folder, CPU32).emissions(clips())[1].scores
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def test_bfloat16_is_close(folder: Path) -> None:
    exact = CtcModel("tiny", folder, CPU32).emissions(clips())
    reduced = CtcModel("tiny", folder, CPU16).emissions(clips())
    for one, other in zip(exact, reduced, strict=True):
        assert other.scores.dtype == torch.float32
        assert float((one.scores.exp() - other.scores.exp()).abs().mean()) < 0.01


def test_the_dictionary_is_lower_case_and_the_blank_is_found(folder: Path) -> None:
    model = CtcModel("tiny", folder, CPU32)
    assert (model.dictionary["a"], model.dictionary["|"], model.blank) == (5, 4, 0)


def test_a_bundle_that_is_not_here() -> None:
    with pytest.raises(ModelMissing, match=r"align\.models\.en.*VOXPOPULI_ASR_BASE_10K_ES.*voicemill models fetch"):
        bundle_file("VOXPOPULI_ASR_BASE_10K_ES", "align.models.en")
    with pytest.raises(ModelMissing, match="no such"):
        bundle_file("HUBERT_BASE", "align.models.en")


# -- the path


def collapse(labels: tuple[int, ...]) -> list[int]:
    """Labels that CTC reads from one label per frame; 0 = blank."""
    return [label for label, _ in itertools.groupby(labels) if label]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_the_path_is_the_best_of_all(seed: int, frames: int, labels: list[int]) -> None:
    scores = torch.randn(frames, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)
    paths = [path for path in itertools.product(range(4), repeat=frames) if collapse(path) == labels]
    if not paths:
        with pytest.raises(Unalignable):
            viterbi(scores, labels, 0)
        return
    best = max(sum(scores[t, label].item() for t, label in enumerate(path)) for path in paths)
    tokens, probabilities = viterbi(scores, labels, 0)
    emitted = tuple(0 if token < 0 else labels[token] for token in tokens)
    assert collapse(emitted) == labels
    assert sorted({int(token) for token in tokens if token >= 0}) == list(range(len(labels)))
    assert sum(scores[t, label].item() for t, label in enumerate(emitted)) == pytest.approx(best, abs=1e-4)
    assert float(probabilities.log().sum()) == pytest.approx(best, abs=1e-3)


def peaky(frames: int, at: dict[int, str], sure: float = 0.9) -> Emission:
    """An emission of blanks, with the characters of `at` at their frames."""
    scores = torch.full((frames, len(LETTERS)), (1 - sure) / (len(LETTERS) - 1))
    for frame in range(frames):
        scores[frame, DICTIONARY[at[frame]] if frame in at else 0] = sure
    return Emission(scores.log(), frames * FRAME + 160)


def test_words_lie_where_their_letters_are() -> None:
    emission = peaky(100, {10: "o", 12: "n", 13: "e", 20: "|", 40: "t", 43: "w", 50: "o"})
    one, two = place_words([emission], ["One", "two"], "en", DICTIONARY, 0).spans
    assert one is not None
    assert two is not None
    # from its first letter until the separator; the last word ends with its last letter; frames begin 2.5 ms late
    assert (one.start, one.stop) == (10 * FRAME + 80, 20 * FRAME + 80)
    assert (two.start, two.stop) == (40 * FRAME + 80, 51 * FRAME + 80)
    assert one.score == pytest.approx(0.9, abs=1e-5)


def test_a_long_pause_is_no_part_of_the_word() -> None:
    emission = peaky(100, {10: "o", 12: "n", 13: "e", 80: "|", 81: "t", 83: "w", 85: "o"})
    one, _ = place_words([emission], ["one", "two"], "en", DICTIONARY, 0).spans
    assert one is not None
    assert one.stop == (14 + TAIL) * FRAME + 80


def test_digits_are_wildcards_and_keep_their_place() -> None:
    emission = peaky(60, {5: "i", 8: "|", 14: "t", 15: "w", 16: "o", 22: "|", 30: "m", 31: "e", 32: "n"})
    spans = place_words([emission], ["I", "2", "—", "men."], "de", DICTIONARY, 0).spans
    assert [span is None for span in spans] == [False, False, True, False]
    two, men = spans[1], spans[3]
    assert two is not None
    assert men is not None
    assert 8 * FRAME < two.start < two.stop < men.start
    assert men.start == 30 * FRAME + 80


def test_chinese_has_no_separator() -> None:
    dictionary = {"<pad>": 0, "|": 1, "你": 2, "好": 3}
    assert tokens_of(["你", "好", "，"], "zh", dictionary) == [(2, 0), (3, 1), (None, 2)]
    scores = torch.full((30, 4), 0.01)
    scores[:, 0] = 0.97
    scores[10], scores[15] = torch.tensor([0.01, 0.01, 0.97, 0.01]), torch.tensor([0.01, 0.01, 0.01, 0.97])
    spans = place_words([Emission(scores.log(), 30 * FRAME)], ["你", "好"], "zh", dictionary, 0).spans
    assert [span and span.start for span in spans] == [10 * FRAME + 80, 15 * FRAME + 80]


def test_clips_end_to_end() -> None:
    first, second = peaky(50, {10: "o", 11: "n", 12: "e", 40: "|"}), peaky(50, {20: "t", 21: "w", 22: "o"})
    spans = place_words([first, second], ["one", "two"], "en", DICTIONARY, 0).spans
    assert spans[1] is not None
    assert spans[1].start == first.samples + 20 * FRAME + 80


def test_what_the_model_hears_between_the_words_is_uncovered() -> None:
    heard = {10: "o", 12: "n", 13: "e", 20: "|", 30: "m", 33: "e", 36: "n", 40: "|", 44: "m", 80: "t", 83: "w", 90: "o"}
    placed = place_words([peaky(100, heard)], ["one", "two"], "en", DICTIONARY, 0)
    assert placed.uncovered == ((30 * FRAME + 80, 45 * FRAME + 80),)
    stray = {frame: char for frame, char in heard.items() if frame not in (30, 33)}
    assert place_words([peaky(100, stray)], ["one", "two"], "en", DICTIONARY, 0).uncovered == ()


def test_a_wrong_text_scores_low() -> None:
    at = {10: "o", 12: "n", 13: "e", 20: "|", 40: "t", 43: "w", 50: "o"}
    right = place_words([peaky(100, at)], ["one", "two"], "en", DICTIONARY, 0).spans
    wrong = place_words([peaky(100, at)], ["lamb", "chops"], "en", DICTIONARY, 0).spans
    assert min(span.score for span in right if span) > 0.8
    assert max(span.score for span in wrong if span) < 0.2


def test_what_cannot_be_aligned() -> None:
    emission = peaky(50, {10: "o"})
    with pytest.raises(Unalignable, match="no character"):
        place_words([emission], ["123", "—"], "de", DICTIONARY, 0)
    with pytest.raises(Unalignable, match="no character"):
        place_words([emission], ["...", "—"], "en", DICTIONARY, 0)
    with pytest.raises(Unalignable, match="do not fit"):
        place_words([emission], ["one"] * 20, "en", DICTIONARY, 0)
    with pytest.raises(Unalignable, match="frames are needed"):
        place_words([emission], ["a" * 40], "en", DICTIONARY, 0)
    broken = Emission(torch.full((50, len(LETTERS)), float("nan")), 50 * FRAME)
    with pytest.raises(ValueError, match="not finite"):
        place_words([broken], ["one"], "en", DICTIONARY, 0)


@pytest.mark.slow
def test_read_as_whisperx_reads_it(folder: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from whisperx.alignment import load_align_model

        _, described = load_align_model("en", "cpu", str(folder))
    assert CtcModel("tiny", folder, CPU32).dictionary == described["dictionary"]
