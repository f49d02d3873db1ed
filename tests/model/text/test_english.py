"""English against sentences written by hand, invariants of any text, and one spelling for texts to compare."""

import re
import runpy
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicemill.model.text.english.front_end import FEWEST, normalise, phones
from voicemill.model.text.english.lexicon import Lexicon, data_file
from voicemill.model.text.english.spelling import american, uniform
from voicemill.model.text.symbols import ARPABET, PUNCTUATION

SENTENCES = runpy.run_path(str(Path(__file__).with_name("english_sentences.py")))["SENTENCES"]
CASES = [pytest.param(*case, id=case[0]) for group in SENTENCES.values() for case in group]


@pytest.mark.parametrize(("text", "normal", "sounds"), CASES)
def test_sentences_written_by_hand(text: str, normal: str, sounds: str) -> None:
    assert normalise(text) == normal
    assert " / ".join(" ".join(found) for _, found in phones(normal).words) == sounds


def test_there_are_a_hundred_of_them_of_every_kind() -> None:
    assert len(CASES) >= 100
    assert all(len(cases) >= 4 for cases in SENTENCES.values())


@pytest.mark.parametrize("normal", [case.values[1] for case in CASES])
def test_the_normal_form_is_its_own(normal: str) -> None:
    assert normalise(normal) == normal


ALPHABET = st.one_of(
    st.sampled_from(list("aAbIestdrTMXIV0123459 .,:;-/$£%°'’“&@#+=()½²km")),
    st.sampled_from(
        [" Dr. ", " a.m.", "St. ", "Mr ", " 3:05 ", "1990s", " U.S. ", "www.a.com", "$1.50", " 5 km", "2/3"]
    ),
    st.characters(),
)


@settings(max_examples=400)
@given(st.lists(ALPHABET, max_size=40).map("".join))
@example("A")
@example("A I A")
@example("a--")
@example("'s")
@example("½½ 12345678901234567890123")
@example("İ ſ ﬁ ²³ 中文 ١٢")
def test_any_text_has_a_normal_form_and_phones(text: str) -> None:
    normal = normalise(text)
    assert re.fullmatch(r"[A-Za-z' !,\-.?…]*", normal)
    assert not re.search(r"\s\s|^\s|\s$|[A-Z]{2}", normal)
    assert normalise(normal) == normal
    found = phones(normal)
    assert set(found.phones) <= ARPABET | set(PUNCTUATION)
    spoken = [phone for _, sounds in found.words for phone in sounds]
    assert list(found.phones) == [","] * (0 < len(spoken) < FEWEST) + spoken


def test_few_phones_stand_behind_a_comma() -> None:
    assert phones("I.").phones == (",", "AY1", ".")
    assert phones("oh no.").phones == ("OW1", "N", "OW1", ".")
    assert phones("").phones == ()


def test_guesses_are_told() -> None:
    assert phones("the glorp sat.").guessed == ("glorp",)
    assert phones("the dog's unfindable bowl.").guessed == ()


def test_the_dictionary_is_read_quickly() -> None:
    def read() -> float:
        start = time.process_time()
        assert len(Lexicon(data_file("cmudict.dict")).entries) > 130_000
        return time.process_time() - start

    assert min(read() for _ in range(5)) < 0.3


@pytest.mark.parametrize(
    ("british", "expected"),
    [
        ("colours", "colors"),
        ("Neighbourhood", "neighborhood"),
        ("realised", "realized"),
        ("privatisation", "privatization"),
        ("paralysed", "paralyzed"),
        ("theatres", "theaters"),
        ("travellers", "travelers"),
        ("defence", "defense"),
        ("anaesthetic", "anesthetic"),
        ("grey", "gray"),
    ],
)
def test_british_words_become_american(british: str, expected: str) -> None:
    assert (american(british), american(expected)) == (expected, expected)


def test_other_words_stay() -> None:
    words = "Four source mourning course prise rise wise promise called filled there were hire tyres timbre dialogue"
    words += " hence pence sentence goes shoes canoe heir hear two Court exercise precise"
    assert [american(word) for word in words.split()] == words.split()


def test_hesitations_annotations_and_elisions() -> None:
    assert uniform("uh so, <noise> um he's [cut] remember'd").split() == ["so,", "he's", "remembered"]
    assert uniform("Deserv’d they'd that'd I'd, uh-huh: humour") == "deserved they'd that'd I'd, uh-huh: humor"
    assert uniform("5 mm, an umbrella; (yes) a < b") == "5 mm, an umbrella; (yes) a < b"
