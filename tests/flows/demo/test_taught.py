"""The corpus of a neural teacher: its sentences, its phones, and an inbox that is continued where it stopped."""

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voicemill.flows.demo.grammar import sentences, spread
from voicemill.flows.demo.taught import SPEAKER, teach
from voicemill.flows.demo.teacher import RATE, Teacher, ipa
from voicemill.model.embedded import PIPER
from voicemill.model.text.frontend import phonemes
from voicemill.storage.errors import ConfigError, InboxError

needs_teacher = pytest.mark.skipif(not PIPER.is_installed, reason="the extra `demo` is not installed")


def test_sentences_are_different_and_the_same_for_one_seed() -> None:
    some = list(islice(sentences(3), 120))
    assert len(set(some)) == 120
    assert some == list(islice(sentences(3), 120))
    assert set(some).isdisjoint(islice(sentences(4), 20))
    assert all(text[-1] in '."?!' and "@" not in text and "{" not in text for text in some)


def test_articles_fit_the_word_behind_them() -> None:
    words = [pair for text in islice(sentences(5), 300) for pair in _pairs(text.lower().split())]
    assert sum(one == "an" for one, _ in words) >= 1
    assert not [pair for pair in words if pair[0] == "an" and pair[1][0] not in "aeiou"]
    assert not [pair for pair in words if pair[0] == "a" and pair[1][0] in "aeio"]


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(words))


def test_the_rarest_pairs_of_phones_are_chosen() -> None:
    taken: Counter[tuple[str, str]] = Counter()
    assert spread(["The cat.", "The cat."], taken) == "The cat."
    assert spread(["The cat.", "Measure joy."], taken) == "Measure joy."


def test_phones_in_the_symbols_of_espeak() -> None:
    assert ipa(phonemes("The water is better, Thomas!", "en")) == "ðə wˈɔːɾɚ ˈɪz bˈɛɾɚ, tˈɑːməs!"
    with pytest.raises(ConfigError, match="not all English"):
        ipa(phonemes("Hello 世界。", "auto"))


@needs_teacher
def test_the_command(cli: Any, tmp_path: Path) -> None:
    made = cli("demo-corpus", "--inbox", tmp_path / "inbox", "--hours", "0.001", "--json").json
    assert made["speaker"] == SPEAKER
    assert made["spoken_now"] == made["recordings"] == len(list((tmp_path / "inbox" / SPEAKER).glob("*.flac")))
    again = cli("demo-corpus", "--inbox", tmp_path / "inbox", "--hours", "0.001").out
    assert "0 of them spoken now" in " ".join(again.split())


@needs_teacher
def test_an_inbox_is_continued(tmp_path: Path) -> None:
    teacher = Teacher(noise=0, rhythm=0)
    first = teach(tmp_path / "inbox", 0.001, teacher)
    before = {path.name: path.read_bytes() for path in (tmp_path / "inbox" / SPEAKER).iterdir()}
    assert first.spoken_now == first.recordings == len(before)
    more = teach(tmp_path / "inbox", 0.002, teacher)
    assert more.spoken_now == more.recordings - first.recordings > 0
    assert 7.2 <= more.seconds < 20
    after = {path.name: path.read_bytes() for path in (tmp_path / "inbox" / SPEAKER).iterdir()}
    assert {name: after[name] for name in before} == before
    rows = (tmp_path / "inbox" / "metadata.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == more.recordings + 1
    wave, rate = soundfile.read(tmp_path / "inbox" / SPEAKER / "000001.flac", dtype="float32")
    assert rate == RATE
    assert not wave[: RATE // 4].any()
    assert np.abs(wave).max() > 0.05
    with pytest.raises(InboxError, match="continue with the seed"):
        teach(tmp_path / "inbox", 0.002, teacher, seed=9)
