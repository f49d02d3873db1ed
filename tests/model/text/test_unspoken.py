"""Marks that are never spoken, and what looks like one and is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.text.unspoken import spoken_only


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<noise>yes", " yes"),
        ("<v Bob>yes</v>", " yes "),
        ("<|zh|>好<|0.00|>", " 好 "),
        ("[SPOKEN_NOISE][笑声]", "  "),
        ("[00:12.34]好", " 好"),
        ("so [MUSIC] [clears throat] [inaudible 00:32] yes", "so       yes"),
        ("＜noise＞好［音乐］", " 好 "),
        ("so\u00adft ze\u200bro \ufeffmark", "soft zero mark"),
        ("①②、3④", "1, 2、3, 4"),
        ("1\ufe0f\u20e32\ufe0f\u20e3", "1, 2"),
        ("№ 5", "No. 5"),
    ],
)
def test_what_is_not_spoken(text: str, spoken: str) -> None:
    assert spoken_only(text) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "3 < 5",
        "x<y and y>z",
        "I <3 you",
        "[0, 1]",
        "第[12]页",
        "《红楼梦》",
        "[2023年]",
        "Ⓐ",
        "[that] works",
        "b[17:38]",
        "a[i]",
        "他[的]家",
    ],
)
def test_what_is_read_stays(text: str) -> None:
    assert spoken_only(text) == text


@given(st.text(st.sampled_from("a1好 <>[]|/①❷²№\u200b\u00ad\u20e3笑声v_:.")))
def test_any_text(text: str) -> None:
    once = spoken_only(text)
    assert spoken_only(once) == once
    assert not any(unicodedata.category(c) == "Cf" for c in once)
