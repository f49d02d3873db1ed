"""Long text is cut where a reader pauses, and its pieces joined are the text."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.text.sentences import Cutting, cut
from voicemill.storage.errors import ConfigError

CASES = {
    "Dr. Smith paid $3.50. He left at 5 p.m. Then it rained. No. 5 won!": (
        "Dr. Smith paid $3.50. ", "He left at 5 p.m. ", "Then it rained. ", "No. 5 won!",
    ),
    "J. K. Rowling wrote it, e.g. in the U.S. Army. See www.a.com. It is online.": (
        "J. K. Rowling wrote it, e.g. in the U.S. Army. ", "See www.a.com. ", "It is online.",
    ),
    "I live in the U.S. The rest is history.": ("I live in the U.S. ", "The rest is history."),
    'He said "Stop! Now." Then he ran.': ('He said "Stop! Now." ', "Then he ran."),
    "We waited... and left. Really?! Yes indeed.": ("We waited... and left. ", "Really?! ", "Yes indeed."),
    "It grew 1000x. He chose plan B. It failed.": ("It grew 1000x. ", "He chose plan B. ", "It failed."),
    "Yes. No. Maybe so. I went.": ("Yes. No. ", "Maybe so. ", "I went."),
    "今天天气很好。我们去公园吧！你觉得怎么样？": ("今天天气很好。", "我们去公园吧！", "你觉得怎么样？"),
    "他说：“你好。我先走了。”然后就离开了。": ("他说：“你好。我先走了。”", "然后就离开了。"),
    "好。我们现在出发。": ("好。我们现在出发。",),
    "圆周率约为3.14。价格是2.5元。": ("圆周率约为3.14。", "价格是2.5元。"),
    "我在用iPhone. 你呢？他用Android手机。": ("我在用iPhone. 你呢？", "他用Android手机。"),
    "她（医生。很好。）来了。他也来了啊。": ("她（医生。很好。）来了。", "他也来了啊。"),
    "第一行没有标点\n第二行也没有标点": ("第一行没有标点\n", "第二行也没有标点"),
    "": (),
}  # fmt: skip


@pytest.mark.parametrize(("text", "pieces"), CASES.items())
def test_cuts(text: str, pieces: tuple[str, ...]) -> None:
    assert cut(text) == pieces


def test_overlong_sentences_are_cut_at_commas_then_at_words_then_anywhere() -> None:
    small = Cutting(longest=20)
    assert cut("一二三四五六七八九十，一二三四五六七，一二三四五六七八九十。", small) == (
        "一二三四五六七八九十，一二三四五六七，",
        "一二三四五六七八九十。",
    )
    assert cut("one two three four five six.", small) == ("one two three four ", "five six.")
    assert cut("x" * 45, small) == ("x" * 20, "x" * 20, "x" * 5)
    assert cut("It is 1,000,000,000,000 or so.", small) == ("It is ", "1,000,000,000,000 ", "or so.")


PARAGRAPH = "It rains, and he waits. Dr. Smith paid $3,500: all of it! 天黑了，他走。Why?"


def test_pieces_by_the_method() -> None:
    def by(**settings: Any) -> tuple[str, ...]:
        return cut(PARAGRAPH, Cutting(shortest=1, **settings))

    sentences = ("It rains, and he waits. ", "Dr. Smith paid $3,500: all of it! ", "天黑了，他走。", "Why?")
    assert by() == sentences
    assert by(sentences=2) == (sentences[0] + sentences[1], sentences[2] + sentences[3])
    assert by(sentences=3) == (sentences[0] + sentences[1] + sentences[2], sentences[3])
    assert by(sentences=3, longest=60) == (sentences[0] + sentences[1], sentences[2] + sentences[3])
    assert by(method="punctuation") == (
        "It rains, ",
        "and he waits. ",
        "Dr. Smith paid $3,500: ",
        "all of it! ",
        "天黑了，",
        "他走。",
        "Why?",
    )
    assert by(method="none", longest=10) == (PARAGRAPH,)
    assert cut("", Cutting(method="none")) == ()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sentences": 0}, "expected 1 or more"),
        ({"method": "words"}, "expected sentence, punctuation, none"),
        ({"method": "none", "sentences": 2}, "they need method 'sentence'"),
    ],
)
def test_a_cutting_that_contradicts_itself(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Cutting(**wrong)


TEXT = st.lists(
    st.one_of(
        st.sampled_from(
            ["Dr. ", "3.14", "e.g. ", "你好", "。", "！”", "“", '"', "(", ")", ", ", "，", ". ", "...", "word ", "\n"]
        ),
        st.characters(),
    ),
    max_size=60,
).map("".join)


@given(TEXT, st.integers(1, 12), st.integers(0, 60), st.sampled_from([1, 2, 5, "punctuation"]))
def test_the_pieces_are_the_text(text: str, shortest: int, more: int, by: int | str) -> None:
    cutting = Cutting(shortest=shortest, longest=shortest + more)
    cutting = replace(cutting, sentences=by) if isinstance(by, int) else replace(cutting, method="punctuation")
    pieces = cut(text, cutting)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= cutting.longest for piece in pieces)
    for first, second in pairwise(pieces):
        short = min(len(first.strip()), len(second.strip())) < shortest
        assert not short or len(first) + len(second) > cutting.longest


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"shortest \(9\) <= longest \(5\)"):
        Cutting(shortest=9, longest=5)
