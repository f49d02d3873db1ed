"""Runs of several languages against sentences written by hand, and invariants of any text."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicemill.model.text.frontend import guess_language, language_of, phonemes
from voicemill.model.text.symbols import SYMBOLS, ids
from voicemill.storage.errors import ConfigError

MIXED = runpy.run_path(str(Path(__file__).with_name("mixed_sentences.py")))["SENTENCES"]


@pytest.mark.parametrize(("text", "language", "runs"), MIXED, ids=[case[0] for case in MIXED])
def test_mixed_sentences_written_by_hand(text: str, language: str, runs: tuple[tuple[str, str, str], ...]) -> None:
    found = phonemes(text, language)
    assert tuple((run.language, run.normalised, " ".join(run.phones)) for run in found.runs) == runs
    assert " ".join(found.phones) == " ".join(phones for _, _, phones in runs)
    assert found.unknown == ()


def test_there_are_fifteen_of_them() -> None:
    assert len(MIXED) >= 15


def test_chinese_alone_counts_the_phones_of_each_character() -> None:
    found = phonemes("我有2本书。", "ZH")
    assert found.normalised == "我有两本书."
    assert found.word2ph == (2, 2, 2, 2, 2, 1)
    assert found.ids.tolist() == ids(found.phones).ids.tolist()
    assert [run.language for run in found.runs] == ["zh"]


def test_english_alone() -> None:
    found = phonemes("Dr. Smith paid $5.", "en")
    assert found.normalised == "doctor smith paid five dollars."
    assert found.word2ph is None
    assert phonemes("I.", "en").phones == (",", "AY1", ".")


def test_a_few_english_phones_in_a_chinese_sentence_have_no_comma() -> None:
    assert phonemes("T恤", "zh").phones == ("T", "IY1", "x", "v4")


@pytest.mark.parametrize(
    ("text", "language"),
    [("今天天气好", "zh"), ("我用iPhone", "zh"), ("I love 北京 very much", "en"), ("hello", "en"), ("123", "en"),
     ("", "en"), ("今日は雨です", "ja"), ("안녕하세요", "ko")],
)  # fmt: skip
def test_the_language_is_guessed_by_its_characters(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_auto_is_what_it_guesses() -> None:
    assert phonemes("我用iPhone").phones == phonemes("我用iPhone", "zh").phones
    assert phonemes("hello 3 times").phones == phonemes("hello 3 times", "en").phones


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'fr': no such language; the languages are zh, en, ja, ko, yue, auto"):
        phonemes("bonjour", "fr")
    with pytest.raises(ConfigError, match="'---': no such language"):
        phonemes("bonjour", "---")


@pytest.mark.parametrize(
    ("language", "code"),
    [("zh-CN", "zh"), ("English", "en"), ("jp", "ja"), ("auto", "zh"), ("", "zh"), ("en+zh", "zh"), ("fr", "fr")],
)
def test_a_stated_language_is_read_as_its_code(language: str, code: str) -> None:
    assert language_of("我用iPhone", language) == code


def test_what_nobody_can_read_is_counted() -> None:
    found = phonemes("我𪚥你", "zh")
    assert set(found.unknown) <= {"UNK"}
    assert len(found.unknown) == sum(phone == "UNK" for phone in found.phones)


TEXT = st.lists(
    st.one_of(
        st.sampled_from(["你好", "iPhone 15", "3.5%", "Dr. ", "20kg", "，", "。", " ", "A", "5G", "a@b.c", "C++"]),
        st.characters(),
    ),
    max_size=15,
).map("".join)  # fmt: skip


@settings(max_examples=150)
@given(TEXT, st.sampled_from(["zh", "en"]))
@example("A'A", "zh")
@example("'a 你 a' ", "en")
@example("\ud800 한국 \uf900", "zh")
def test_the_runs_are_the_text(text: str, language: str) -> None:
    found = phonemes(text, language)
    assert found.ids.dtype == np.int64
    assert [SYMBOLS[i] for i in found.ids] == list(found.phones)
    assert found.normalised == "".join(run.normalised for run in found.runs)
    flat = [phone for run in found.runs for phone in run.phones]
    assert list(found.phones) in (flat, [",", *flat])
    for run in found.runs:
        if run.word2ph is not None:
            assert sum(run.word2ph) == len(run.phones)
            assert len(run.word2ph) == len(run.normalised)


def test_a_mark_behind_chinese_words_of_an_english_text_is_kept() -> None:
    assert phonemes("Hello 你好？", "en").phones[-2:] == ("ao3", "?")
    assert phonemes("Hello. 他说没关系。", "en").phones[-2:] == ("i5", ".")
