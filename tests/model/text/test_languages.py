"""Cantonese, Japanese and Korean: our rules, and their libraries where the extras are installed."""

import sys

import pytest

from voicemill.model.text import cantonese, japanese, korean, korean_numbers
from voicemill.model.text.frontend import phonemes
from voicemill.model.text.symbols import SYMBOLS
from voicemill.storage.errors import ConfigError


@pytest.mark.parametrize(
    ("language", "module", "text"), [("ja", "pyopenjtalk", "今日は雨です。"), ("yue", "ToJyutping", "我哋去飲茶。")]
)
def test_a_missing_library_is_named_with_its_extra(
    language: str, module: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    with pytest.raises(ConfigError, match=rf"pip install 'voicemill\[{language}\]'"):
        phonemes(text, language)


@pytest.mark.parametrize(
    ("jyutping", "phones"),
    [
        ("gwong2", ("Ygw", "Yong2")),
        ("ngo5", ("Yng", "Yo5")),
        ("jyut6", ("Yj", "Yyut6")),
        ("uk1", ("Yuk", "Yk1")),
        ("aa3", ("Yaa", "Ya3")),
        ("m4", ("Ym", "Ym4")),
        ("ng5", ("Yn", "Yg5")),
        ("zzz1", ("UNK",)),
    ],
)
def test_cantonese_syllables(jyutping: str, phones: tuple[str, ...]) -> None:
    assert cantonese.syllable(jyutping) == phones
    assert set(phones) <= set(SYMBOLS)


def test_cantonese_with_its_library() -> None:
    pytest.importorskip("ToJyutping", reason="the extra yue is not installed")
    found = phonemes("我哋今日去Starbucks飲茶。", "yue")
    assert [run.language for run in found.runs] == ["yue", "en", "yue"]
    assert found.runs[0].phones == ("Yng", "Yo5", "Yd", "Yei6", "Yg", "Yam1", "Yj", "Yat6", "Yh", "Yeoi3")
    assert found.unknown == ()


def label(phone: str, place: tuple[int, int, int] | None, moras: int = 0) -> str:
    """A full-context label of Open JTalk with the fields that are read."""
    a = "xx+xx+xx" if place is None else f"{place[0]}+{place[1]}+{place[2]}"
    return f"xx^xx-{phone}+xx=xx/A:{a}/B:xx-xx_xx/F:{moras or 'xx'}_1#0_xx@1_1|1_2/G:xx"


def test_pitch_rises_and_falls_behind_its_mora() -> None:
    ends = [label("sil", None)]
    falling = [label("h", (0, 1, 2), 2), label("a", (0, 1, 2), 2), label("sh", (1, 2, 1), 2), label("I", (1, 2, 1), 2)]
    rising = [label("h", (-1, 1, 2), 2), label("a", (-1, 1, 2), 2), label("sh", (0, 2, 1), 2), label("i", (0, 2, 1), 2)]
    assert japanese.phones_with_pitch(ends + falling + ends) == ["h", "a", "]", "sh", "i"]
    assert japanese.phones_with_pitch(ends + rising + ends) == ["h", "a", "[", "sh", "i"]
    assert japanese.phones_with_pitch(falling + rising) == ["h", "a", "]", "sh", "i", "UNK", "h", "a", "[", "sh", "i"]


def test_japanese_normal_form() -> None:
    assert japanese.normalise("「ＯＫ」、３時に…行く！？") == "OK,3時に…行く!"


def test_japanese_with_its_library() -> None:
    pytest.importorskip("pyopenjtalk", reason="the extra ja is not installed")
    found = phonemes("箸と橋。Googleで検索した。", "ja")
    assert " ".join(found.runs[0].phones) == "h a ] sh i t o UNK h a [ sh i ."
    assert [run.language for run in found.runs] == ["ja", "en", "ja"]
    assert found.unknown == ()


HEARD = {
    "학교": "학꾜", "국물": "궁물", "신라": "실라", "칼날": "칼랄", "같이": "가치", "굳이": "구지",
    "닫히다": "다치다", "놓고": "노코", "많다": "만타", "좋아": "조아", "싫어": "시러", "앉아": "안자",
    "값이": "갑씨", "닭이": "달기", "닭": "닥", "읽고": "일꼬", "읽다": "익따", "밟다": "밥따", "넓다": "널따",
    "없다": "업따", "꽃": "꼳", "꽃이": "꼬치", "부엌": "부억", "입학": "이팍", "축하": "추카", "맏형": "마텽",
    "꽂히다": "꼬치다", "독립": "동닙", "협력": "혐녁", "대통령": "대통녕", "심리": "심니", "합니다": "함니다",
    "있는": "인는", "놓는": "논는", "뚫네": "뚤레", "핥다": "할따", "붙이다": "부치다", "붙여": "부쳐",
    "희망": "히망", "시계": "시게", "가져": "가저", "먹는": "멍는", "닿소": "다쏘", "않는": "안는", "잃고": "일코",
    "몫이": "목씨", "앞마당": "암마당", "있어요": "이써요", "읊다": "읍따", "한국어": "한구거",
    "좋습니다": "조씀니다", "못해": "모태", "백화점": "배콰점", "옳지": "올치", "영향": "영향",
}  # fmt: skip


@pytest.mark.parametrize(("word", "said"), HEARD.items())
def test_standard_pronunciation(word: str, said: str) -> None:
    expected = [letter for c in said for letter in korean.letters(c)]
    if word == "붙여":  # 부처: ㅕ behind ㅊ is ㅓ
        expected[-2] = "ㅓ"
    assert [letter for one in korean.pronounce(word) for letter in one] == expected


NUMBERS = {
    "3년": "삼년", "사과 3개": "사과 세개", "12,000원": "만이천원", "20살, 21명": "스무살, 스물한명",
    "오후 3시 25분": "오후 세시 이십오분", "010-1234-5678": "공일공 일이삼사 오육칠팔", "3.14": "삼점일사",
    "100%": "백 퍼센트", "-5": "마이너스 오", "$30": "삼십달러", "2024년 10월 6일": "이천이십사년 시월 육일",
    "123456789": "일억이천삼백사십오만육천칠백팔십구", "0": "영", "10000": "만",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), NUMBERS.items())
def test_korean_numbers(text: str, said: str) -> None:
    assert korean_numbers.spell_out(text) == said


def test_korean_phones_are_in_the_table() -> None:
    found = phonemes("저는 Google에서 왔어요!", "ko")
    assert [run.language for run in found.runs] == ["ko", "en", "ko"]
    assert found.runs[0].phones == ("ㅈ", "ㅓ", "ㄴ", "ㅡ", "ㄴ", "空")
    assert "".join(found.runs[2].phones) == "ㅇㅔㅅㅓ空ㅇㅗㅏㅆㅓㅇㅣㅗ!"
    assert found.unknown == ()
    every = korean.phones("".join(chr(code) for code in range(0xAC00, 0xD7A4)))
    assert set(every) <= set(SYMBOLS) - {"UNK"}
