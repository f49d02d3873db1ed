"""Tables in Parquet and Arrow, and lists of phones: what is read, what is passed over, and what an erasure leaves."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voicemill.storage.inbox.listing import InboxFile, Listing
from voicemill.storage.inbox.metadata import Metadata, read_metadata
from voicemill.storage.inbox.transcripts.columnar import without_rows

LONG = "it was a long sentence, with a comma."
LABELS = {"info": {"features": {"speaker": {"names": ["anna", "bob"], "_type": "ClassLabel"}, "audio": {}}}}


def parquet(table: Any, rows: int = 1024) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=rows)
    return out.getvalue()


def stream(table: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def arrow(table: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


FORMATS = [("parquet", parquet), ("arrow", stream), ("arrow", arrow), ("parquet", lambda table: parquet(table, 1))]


def about(path: str, data: bytes, *audio: str) -> Metadata:
    files = {path: InboxFile(path, 1, "")}
    return read_metadata(Listing([InboxFile(name, 1, "") for name in audio], files), {path: data}.__getitem__)


def rows(metadata: Metadata) -> dict[str, tuple[str, str, str]]:
    return {path: (row.speaker, row.language, row.text) for path, row in metadata.descriptions.items()}


@pytest.mark.parametrize(("ending", "written"), FORMATS)
def test_columns_mean_what_they_mean_in_a_csv(ending: str, written: Any) -> None:
    columns = {"file_name": ["a.wav", "b.wav"], "transcription": ["one", "two"], "speaker_id": [7.0, 8.0]}
    metadata = about(f"d/x.{ending}", written(pa.table(columns | {"lang": ["en", None]})), "d/a.wav", "d/b.wav")
    assert rows(metadata) == {"d/a.wav": ("7", "en", "one"), "d/b.wav": ("8", "", "two")}
    assert metadata.problems == []


@pytest.mark.parametrize(("ending", "written"), FORMATS)
def test_recordings_inside_a_table_are_passed_over_and_said(ending: str, written: Any) -> None:
    audio = [{"bytes": None, "path": "a.wav"}, *({"bytes": b"RIFF", "path": f"{n}.wav"} for n in "xy")]
    table = pa.table({"audio": audio, "sentence": ["one", "two", "three"], "speaker": [0, 1, 1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(LABELS)})
    data = written(table)
    metadata = about(f"d/train-00000-of-00001.{ending}", data, "d/a.wav", "d/b.wav")
    assert rows(metadata) == {"d/a.wav": ("anna", "", "one")}
    (problem,) = map(str, metadata.problems)
    assert "2 recordings lie inside the table, and are passed over: write them as files" in problem
    left = without_rows(data, {2, 3})
    assert b"RIFF" not in left
    assert rows(about(f"d/x.{ending}", left, "d/a.wav")) == {"d/a.wav": ("anna", "", "one")}
    assert without_rows(data, {1, 2, 3}) == b""


def test_tables_about_something_else_and_damaged_ones() -> None:
    metadata = about("d/f0.parquet", parquet(pa.table({"id": [1, 2], "data": [b"x", b"y"]})), "d/a.wav")
    assert (rows(metadata), metadata.problems) == ({}, [])
    for path, data in (("d/f0.parquet", b"PAR1 no PAR1"), ("d/f0.arrow", b"ARROW1 no"), ("d/f0.arrow", b"")):
        metadata = about(path, data, "d/a.wav")
        assert "no table in Parquet or Arrow, or a damaged one" in str(metadata.problems[0])
        assert metadata.doubtful == {}
    assert about("d/metadata.parquet", b"junk", "d/a.wav").doubtful.keys() == {"d/a.wav"}


@pytest.mark.parametrize(
    ("path", "table", "expected", "said"),
    [
        ("x.list", f"./dataset/1.wav|anna|EN|{LONG}|_ ih t _|0 1 2|1 2 1\n", {"1": ("anna", "en", LONG)}, ""),
        ("x.list", f"1.wav|anna|EN|{LONG}|of|seven|fields\n", {}, "7 fields, a .list has path|speaker|language|text"),
        (
            "train_list.txt",
            "1.wav|ðɪ mədʒˈɔːɹᵻɾi|0\n2.wav|hɛlˈoʊ, wˈɜːld.|0\n",
            {"1": ("d", "", "")},
            "are phones",
        ),
        ("train_list.txt", "1.wav|ðɪ mədʒˈɔːɹᵻɾi|0\n2.wav|hɛlˈoʊ|1\n", {"2": ("1", "", "")}, "are phones"),
        ("val_list.txt", f"1.wav|{LONG}|12\n2.wav|yes|3\n", {"1": ("12", "", LONG), "2": ("3", "", "yes")}, ""),
        ("val_list.txt", f"1.wav|{LONG}|0\n2.wav|yes|0\n", {"1": ("d", "", LONG), "2": ("d", "", "yes")}, ""),
        ("train.txt", "1|anna|{HH AH0}|hello\n2|bob|{Y UW1 sp}|you\n", {"2": ("bob", "", "you")}, ""),
        ("train.txt", "./d/1.wav\n./d/2.wav\n", {}, ""),
        ("train.txt", "this is a diary.\nit names no file|at all\n", {}, ""),
        ("metadata.csv", f"1.wav|0|{LONG}\n2.wav|0|{LONG}\n", {"1": ("d", "", LONG)}, ""),
        ("metadata.csv", "1|hɛlˈoʊ\n2|wˈɜːld\n", {"1": ("d", "", "")}, "are phones"),
    ],
)
def test_lists_with_phones_and_numbers(path: str, table: str, expected: dict[str, Any], said: str) -> None:
    metadata = about(f"d/{path}", table.encode(), "d/1.wav", "d/2.wav")
    found = {path[2]: row for path, row in rows(metadata).items()}
    assert {name: found.get(name) for name in expected} == expected
    assert found if expected else not found
    assert said in "".join(map(str, metadata.problems))
    assert bool(said) is bool(metadata.problems)
