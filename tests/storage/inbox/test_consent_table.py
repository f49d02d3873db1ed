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
