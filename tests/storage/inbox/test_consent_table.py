"""The table of consents: any encoding, any separator, and never a "no" that is lost."""

import csv
import io
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from voicemill.storage.errors import ConfigError
from voicemill.storage.inbox import consent
from voicemill.storage.inbox.consent_table import read_table
from voicemill.storage.inbox.decoding import SEPARATORS, decode_table
from voicemill.storage.store import Store

UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-7")
ENCODINGS = """
cp1252 latin-1 iso8859-15 mac-roman cp437 cp850 cp1250 iso8859-2 cp1251 koi8-r cp866 iso8859-5 cp1253
iso8859-7 cp1254 gbk gb18030 big5 big5hkscs cp932 shift_jis euc_jp cp949 euc_kr hz
"""
LOCAL = tuple(ENCODINGS.split())
NAMES = ("anna", "José", "Zoë Ångström", "Müller, Jörg", "Łukasz", "Иван", "Ελένη", "İpek", "李雷", "韓梅梅", "ラジオ",
         "김철수", "o'neil & sons", 'a "b" c', "x;y|z", "Bob")  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(tmp_path_factory.mktemp("consents") / "store", create=True)


@pytest.mark.parametrize(
    ("encoding", "separator", "note"),
    [
        ("utf-8", ",", None),
        ("utf-8-sig", ",", None),
        ("utf-8", ";", "consents.csv: read as UTF-8, separated by semicolons"),
        ("utf-16", ",", "consents.csv: read as UTF-16-LE, separated by commas"),
        ("utf-16-be", "\t", "consents.csv: read as UTF-16-BE, separated by tabs"),
        ("cp1252", ";", "consents.csv: read as CP1252, separated by semicolons"),
        ("gb18030", "|", "consents.csv: read as GB18030, separated by bars"),
    ],
)
def test_how_a_table_was_read_is_reported(store: Store, encoding: str, separator: str, note: str | None) -> None:
    name = "李雷" if encoding == "gb18030" else "José"
    text = f"sep={separator}\r\n\r\nSpeaker {separator}CONSENT\r\n{name}{separator}no\r\nbob{separator}Yes\r\n"
    text = text if separator == ";" else text.partition("\r\n\r\n")[2]
    consents = consent.read_consents(store, text.encode(encoding), speakers=[name, "bob", "carl"])
    assert [consents.of(who, "assumed").granted for who in (name, "bob", "carl")] == [False, True, True]
    assert consents.of(name).record == "consents.csv: no"
    assert [str(problem)[: len(note or "")] for problem in consents.problems] == ([note] if note else [])


@settings(deadline=None)
@given(st.data())
def test_no_speaker_with_a_no_is_ever_granted(store: Store, data: st.DataObject) -> None:
    """Whatever else stands in the table, in whatever encoding it is and whoever else is in the inbox."""
    encoding = data.draw(st.sampled_from(UNICODE + LOCAL))
    names = data.draw(
        st.lists(st.sampled_from([name for name in NAMES if fits(name, encoding)]), min_size=1, max_size=5)
    )
    values = st.sampled_from(["yes", "no", "NO ", "withdrawn", "", "perhaps", "granted"])
    rows = [(name, data.draw(values), data.draw(st.sampled_from(["", "2026-01-01", "3.4.2026"]))) for name in names]
    shape = data.draw(st.sampled_from([str, str.upper, str.title, " {} ".format]))
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=data.draw(st.sampled_from(SEPARATORS)),
        lineterminator=data.draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    written = [(reshaped(shape(name), encoding) or name, value, date) for name, value, date in rows]
    writer.writerows([("speaker", "consent", "date"), *written])
    form = data.draw(st.sampled_from(["NFC", "NFD", "NFKC"]))
    refused = {name for name, value, _ in rows if value not in ("yes", "granted")}
    inbox = {unicodedata.normalize(form, name) for name in NAMES} if data.draw(st.booleans()) else set()
    try:
        consents = consent.read_consents(store, out.getvalue().encode(encoding), speakers=inbox)
    except ConfigError:
        event("the refresh stops: nobody is prepared")
        return
    event(f"{len(refused)} refused")
    assert not [name for name in refused if consents.of(unicodedata.normalize(form, name), "assumed").granted]


def fits(name: str, encoding: str) -> bool:
    try:
        return name.encode(encoding).decode(encoding) == name
    except UnicodeError:
        return False


def reshaped(name: str, encoding: str) -> str:
    """The name, if it can be written so; else ""."""
    return name if fits(name, encoding) else ""


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"speaker,consent\n", b"\xff\xfe", "speaker;consent\n".encode("utf-16")]),
)
def test_any_bytes_are_read_or_refused(data: bytes, head: bytes) -> None:
    """No other error, and nothing is read without a header."""
    with suppress(ConfigError):
        read_table(head + data)
        assert b"speaker" in (head + data).lower().replace(b"\0", b"")


@settings(deadline=None)
@given(st.sampled_from(LOCAL), st.sampled_from(NAMES), st.booleans())
def test_one_of_the_readings_of_a_cell_is_the_right_one(encoding: str, name: str, known: bool) -> None:
    if not fits(name, encoding):
        return
    table = decode_table(f"speaker,consent\n{name}".encode(encoding), lambda text: known and name in text)
    cell = table.text.partition("\n")[2]
    assert name in table.readings(cell)
    assert cell == name or not known or name.isascii() or encoding == "hz"


def test_what_cannot_be_text_is_refused(tmp_path: Path) -> None:
    for data in (b"speaker,consent\nanna,\0no\n", "speaker,consent\nanna,no\n".encode("utf-16")[:-1], b"\x81\x00\x01"):
        with pytest.raises(ConfigError, match=r"^consents\.csv"):
            read_table(data)


@pytest.mark.parametrize(
    ("refused", "speaker"),
    [
        ("anna.", "anna"), ("./anna", "anna"), ("anna/", "anna"), ("#anna", "anna"), ("'anna'", "anna"),
        ("anna smith", "anna_smith"), ("anna-smith", "anna smith"), ("Smith, Anna", "Anna Smith"),
        ("smith_anna", "smith anna"), ("Jose", "José"), ("JOSE\u0301", "jose"), ("Mueller", "Müller"),
        ("Muller", "Müller"), ("Soren", "Søren"), ("\u0430nna", "anna"), ("ｓｐｋ１", "spk-1"), ("7", "007"),
        ("1.0", "1"), ("spk7", "spk07"), ("Jos&eacute;", "José"), ("Jos%C3%A9", "José"),
        ("李 雷", "李雷"), ("anna; bob", "bob"), ("bob & anna", "anna"),
        ("anna und bob", "bob"), ("bob/anna", "anna"),
    ],
)  # fmt: skip
def test_a_no_of_a_name_that_nobody_has_holds_those_of_its_letters(store: Store, refused: str, speaker: str) -> None:
    table = f'speaker,consent\n"{refused}",no\ncarl,yes\n'
    consents = consent.read_consents(store, table, speakers=[speaker, "carl", "dora"])
    assert [consents.of(who, "assumed").granted for who in (speaker, "carl", "dora")] == [False, True, True]
    assert repr(speaker) in "".join(map(str, consents.problems))
    later = f'speaker,consent,date\n"{refused}",no,2024-01-01\n{speaker},yes,2025-01-01\n'
    assert consent.read_consents(store, later, speakers=[speaker]).of(speaker).granted


@pytest.mark.parametrize(
    ("one", "other"),
    [("anna", "hanna"), ("s1", "s2"), ("spk10", "spk1"), ("anna", "annab"), ("李雷", "李蕾"), ("かき", "かぎ")],
)
def test_a_no_of_another_name_holds_nobody(store: Store, one: str, other: str) -> None:
    consents = consent.read_consents(store, f"speaker,consent\n{one},no\n", speakers=[other])
    assert consents.of(other, "assumed").granted


def test_of_two_speakers_of_the_same_letters_each_has_a_consent_of_its_own(store: Store) -> None:
    consents = consent.read_consents(store, "speaker,consent\nJose,no\n", speakers=["Jose", "José"])
    assert [consents.of(who, "assumed").granted for who in ("Jose", "José")] == [False, True]


@pytest.mark.parametrize(
    ("header", "row", "granted"),
    [
        ("speaker,consent,revoked", "anna,yes,true", False),
        ("speaker,consent,revoked", "anna,yes,false", True),
        ("speaker,consent,Withdrawn on", "anna,yes,2024-05-01", False),
        ("speaker,consent,withdrawn", "anna,yes,", True),
        ("speaker,consent,opt-out", "anna,yes,x", False),
        ("speaker,consent,Widerruf", "anna,yes,ja", False),
        ("speaker,consent,撤回", "anna,yes,是", False),
        ("speaker,consent,expires", "anna,yes,2020-05-01", False),
        ("speaker,consent,expires", "anna,yes,2999-05-01", True),
        ("speaker,consent,valid until", "anna,yes,31.12.2020", False),
        ("speaker,consent,valid_from", "anna,yes,2020-01-01", True),
        ("speaker,consent,consent_2026", "anna,yes,no", False),
        ("speaker,consent,consent_2026", "anna,yes,nein", False),
        ("speaker,consent,consent_date", "anna,yes,2020-01-01", True),
        ("speaker,consent,note", "anna,yes,withdrew by phone in May", False),
        ("speaker,consent,note", "anna,yes,hat die Einwilligung zurückgezogen", False),
        ("speaker,consent,note", "anna,yes,by mail", True),
        ("speaker,consent,age", "anna,yes,34", True),
        ("note,consent,speaker", "x,no,anna", False),
        *((f"speaker{tab}consent", f"anna{tab}{no}", False) for tab in "\t;" for no in ("nein", "否", "0", "revoked")),
    ],
)
def test_a_no_in_any_column_and_word_counts(store: Store, header: str, row: str, granted: bool) -> None:
    table = f"\ufeff{header}\r\n{row}\r\n".encode()
    assert consent.read_consents(store, table, speakers=["anna"]).of("anna", "assumed").granted is granted


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("speaker,consent\n*,no\n", "give each speaker a row"),
        ("speaker,consent\nalle,nein\n", "give each speaker a row"),
        ("speaker,consent,note\nbob,yes,x\x0canna,no\n", "control character"),
        ("speaker,consent,note\nbob,yes,x\u2028anna,no\n", "control character"),
        ('speaker,consent,note\nanna,no,"she said\nno"\n', "quote is not closed"),
        ("Sprecher;Einwilligung\nanna;nein\n", "names no columns"),
        ("speaker，consent\nanna，no\n", "names no columns"),
    ],
)
def test_what_may_hide_a_no_stops_the_refresh(store: Store, table: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        consent.read_consents(store, table, speakers=["anna", "bob"])
