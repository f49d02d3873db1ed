"""English is aligned as the front end reads it: a text and its spelt-out form give equal word times."""

import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from support.tiny_speech_models import LETTERS

from voicemill.flows.demo.voice import RATE as ESPEAK_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.speech.ctc_path import Emission, place_words
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.words import Span, spoken_english
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

CASES = {
    "money": "It cost [$12.50|twelve dollars and fifty cents] then, and [$5|five] [million|million dollars] now.",
    "date": "We met on [3|the third of] May, [2020,|twenty twenty] in the old harbour.",
    "slashed date": "The letter of [7/4/1999|july fourth nineteen ninety nine] was never answered.",
    "fraction": "Add [1/2|one half] a cup of milk and [2|two] [1/2|and a half] spoons of sugar.",
    "abbreviation": "They sell fruit, [e.g.|for example] apples, [etc.|et cetera]",
    "letters": "The [FBI|F B I] called [NASA|nasa] about a [CEO|C E O] yesterday.",
    "telephone": "Please call [555-1234|five five five one two three four] before the end of the week.",
    "area code": "Her number is [(415)|four one five] [555-0199.|five five five oh one nine nine]",
    "unit": "The box weighs [10kg|ten kilograms] and the truck went [80|eighty] [km/h.|kilometers per hour]",
    "roman": "King Henry [VIII|the eighth] lived before World War [II|two] began.",
    "address": "[Dr.|doctor] Smith lives on Main [St.|street] near [St.|saint] Paul.",
    "title": "[Mr.|mister] Jones and [Mrs.|missus] Brown met [Prof.|professor] Green.",
    "time": "The train leaves at [3:05|three oh five] [p.m.|P M] from the main station.",
    "ordinal": "He finished [21st|twenty first] of the [42|forty two] runners.",
    "percentage": "About [7.5%|seven point five percent] of the people left.",
    "year": "The house was built in [1905|nineteen oh five] and sold in the [1990s.|nineteen nineties]",
    "number": "The town has [1,234|one thousand two hundred thirty four] old houses.",
    "range": "Read pages [10-12|ten to twelve] before the lesson.",
    "signs": "Rock [&|and] roll [+|plus] blues was all they played.",
    "hyphen": "A [well-known|well known] singer came - late - to the show.",
}
"""Sentences with [written|spelt out] where the two differ."""


def both(case: str) -> tuple[list[str], list[str], list[range]]:
    """Written words, spelt-out words, and the numbers of the spelt-out words of each written one."""
    written: list[str] = []
    spelt: list[str] = []
    shares = []
    for piece in case.replace("[", "\n[").replace("]", "\n").split("\n"):
        bracketed = piece.startswith("[")
        pairs = [piece[1:].split("|")] if bracketed else [[word, word] for word in piece.split()]
        for word, form in pairs:
            if word.strip(",.") == "" and written and not bracketed:
                written[-1] += word
                continue
            words = form.split()
            shares.append(range(len(spelt), len(spelt) + len(words)))
            written.append(word)
            spelt += words
    return written, spelt, shares


@cache
def pocket() -> PocketsphinxAligner:
    return PocketsphinxAligner()


@cache
def waves() -> dict[str, Wave]:
    """The spelt-out form of each case, spoken by espeak-ng."""
    spoken = speak([Line(" ".join(both(case)[1]), "en-us") for case in CASES.values()])
    resampled = [np.asarray(soxr.resample(wave, ESPEAK_RATE, RATE), np.float32) for wave in spoken]
    return dict(zip(CASES, resampled, strict=True))


def times(spans: list[Span | None]) -> list[tuple[int, int] | None]:
    return [span and (span.start, span.stop) for span in spans]


def spanned(spans: list[Span | None], shares: list[range]) -> list[tuple[int, int] | None]:
    """Start of the first and end of the last spelt-out word of each written one."""
    joined: list[tuple[int, int] | None] = []
    for share in shares:
        parts = [span for at in share if (span := spans[at])]
        joined.append((parts[0].start, parts[-1].stop) if parts else None)
    return joined


@pytest.mark.parametrize("name", CASES)
def test_each_written_word_has_its_spelt_out_words(name: str) -> None:
    written, spelt, shares = both(CASES[name])
    expected = [[spelt[at].strip(",.") for at in share] for share in shares]
    assert [[word.text.lower() for word in words] for words in spoken_english(written)] == [
        [word.lower() for word in words if word != "-"] for words in expected
    ]


@pytest.mark.parametrize("name", CASES)
def test_pocketsphinx_gives_equal_times(name: str) -> None:
    written, spelt, shares = both(CASES[name])
    wave = waves()[name]
    placed = pocket().align(wave, written).spans
    reference = pocket().align(wave, spelt).spans
    assert times(placed) == spanned(reference, shares)
    assert sum(span is not None for span in placed) == sum(word != "-" for word in written)


@pytest.mark.parametrize("name", CASES)
def test_ctc_gives_equal_times(name: str) -> None:
    written, spelt, shares = both(CASES[name])
    dictionary = {char.lower(): number for number, char in enumerate(LETTERS)}
    frames = 4 * sum(map(len, spelt))
    generator = torch.Generator().manual_seed(len(name))
    emission = Emission(torch.randn(frames, len(LETTERS), generator=generator).log_softmax(-1), frames * RATE // 50)
    placed = place_words([emission], written, "en", dictionary, 0).spans
    assert times(placed) == spanned(place_words([emission], spelt, "en", dictionary, 0).spans, shares)
    assert sum(span is not None for span in placed) == sum(word != "-" for word in written)


TABLE = runpy.run_path(str(Path(__file__).parents[1] / "text" / "english_sentences.py"))["SENTENCES"]


@pytest.mark.parametrize("group", TABLE)
def test_a_text_and_its_normal_form_have_the_same_words_and_phones(group: str) -> None:
    """The input of both engines is equal for every sentence of the front end's own tests."""
    for text, normal, _ in TABLE[group]:
        read, again = ([word for words in spoken_english(form.split()) for word in words] for form in (text, normal))
        assert read == again


def test_marks_are_not_read() -> None:
    assert [len(words) for words in spoken_english(["<noise>", "hello", "[laughter]", "—", "there."])] == [
        0,
        1,
        0,
        0,
        1,
    ]
