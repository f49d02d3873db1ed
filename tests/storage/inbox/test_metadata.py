"""All layouts of metadata; errors in them are reported, and none is raised."""

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.inbox.languages import normalise_language
from voicemill.storage.inbox.layouts import folder_speaker
from voicemill.storage.inbox.listing import InboxFile, Listing
from voicemill.storage.inbox.metadata import Metadata, read_metadata
from voicemill.storage.inbox.transcripts.rows import Description


def read(files: dict[str, str | bytes]) -> Metadata:
    """Metadata of an inbox with these files; the content of audio files does not matter."""
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    entries = [InboxFile(path, 1, "") for path in sorted(data)]
    audio = [entry for entry in entries if entry.path.endswith((".wav", ".flac"))]
    return read_metadata(Listing(audio, {e.path: e for e in entries if e not in audio}), data.__getitem__)


def problems(metadata: Metadata) -> list[str]:
    return [str(problem) for problem in metadata.problems]


def test_a_csv_with_a_header() -> None:
    text = (
        '\ufeffText,Speaker,extra,file,language\n"Yes, ""so"".",anna,1,x/a.wav,en-US\nZwei\u2028Zeilen,bob,,b.wav,DE\n'
    )
    metadata = read({"metadata.csv": text, "x/a.wav": "", "b.wav": ""})
    assert metadata.descriptions == {
        "x/a.wav": Description("anna", "en", 'Yes, "so".'),
        "b.wav": Description("bob", "de", "Zwei Zeilen"),
    }
    assert problems(metadata) == []


def test_the_mark_of_several_people() -> None:
    rows = ["a.wav,TRUE", "b.wav,no", "c.wav,", "d.wav,perhaps", "e.wav,1"]
    metadata = read({"metadata.csv": "\n".join(["file,mixed", *rows, ""])} | {f"{name}.wav": "" for name in "abcde"})
    assert {path[0] for path, row in metadata.descriptions.items() if row.mixed} == {"a", "d", "e"}
    assert problems(metadata) == ["metadata.csv:5: mixed is 'perhaps', neither true nor false: taken as true"]


def test_a_csv_in_a_folder_names_files_beside_it_or_from_the_root() -> None:
    metadata = read({"anna/metadata.csv": "file,text\na.wav,one\nanna/b.wav,two\n", "anna/a.wav": "", "anna/b.wav": ""})
    assert metadata.descriptions == {"anna/a.wav": Description(text="one"), "anna/b.wav": Description(text="two")}


def test_bad_rows_are_reported_and_the_others_used() -> None:
    rows = [
        "a.wav,one",
        "b.wav,two,three",
        "none.wav,x",
        '"c.wav,broken',
        "d.wav,four",
        "a.wav,again",
        'e.wav,"x" y',
        "f.wav,six",
    ]
    text = "\n".join(["file,text", *rows, ""])
    metadata = read({"metadata.csv": text} | {f"{name}.wav": "" for name in "abcdef"})
    assert {path: description.text for path, description in metadata.descriptions.items()} == {
        "a.wav": "one",
        "d.wav": "four",
        "f.wav": "six",
    }
    assert problems(metadata) == [
        "metadata.csv:3: 3 cells, the header has 2: not used (a comma needs quotes)",
        "metadata.csv:4: no such audio file: 'none.wav'",
        "metadata.csv:5: ',' expected after '\"': the row is not used",
        "metadata.csv:7: 'a.wav' is described before, differently: the first description stays",
        "metadata.csv:8: ',' expected after '\"': the row is not used",
    ]


def test_ljspeech() -> None:
    text = "L1|In 1890|In eighteen ninety\nL2|Two|\nL3|Three\nL4|a|b|c\nL5|gone\n../L6|x\n"
    files: dict[str, str | bytes] = {"metadata.csv": text} | {f"wavs/L{n}.wav": "" for n in range(1, 5)}
    metadata = read(files)
    assert metadata.descriptions == {
        "wavs/L1.wav": Description("default", "", "In eighteen ninety"),
        "wavs/L2.wav": Description("default", "", "Two"),
        "wavs/L3.wav": Description("default", "", "Three"),
    }
    assert [problem.line for problem in metadata.problems] == [4, 5, 6]
    assert list(metadata.refused) == ["../L6"]
    inside = read({"linda/metadata.csv": "L1|One\n", "linda/wavs/L1.flac": ""})
    assert inside.descriptions == {"linda/wavs/L1.flac": Description("linda", "", "One")}


def test_gpt_sovits_list() -> None:
    text = '"wavs\\a.wav"|anna|ZH|你好\n\u202awavs/b.wav|anna|JP|はい\n/abs/c.wav|anna|EN|x\nwavs/a.wav|two|bars\n'
    metadata = read({"x.list": text, "wavs/a.wav": "", "wavs/b.wav": ""})
    assert metadata.descriptions == {
        "wavs/a.wav": Description("anna", "zh", "你好"),
        "wavs/b.wav": Description("anna", "ja", "はい"),
    }
    assert list(metadata.refused) == ["/abs/c.wav"]
    assert [problem.line for problem in metadata.problems] == [3, 4]


def test_kaldi() -> None:
    metadata = read(
        {
            "data/wav.scp": "u1 a.wav\nu2\tdata/b.wav\nu3 sox x.wav -t wav - |\nu4\n",
            "data/text": "u1 HELLO  WORLD\nu2\n",
            "data/utt2spk": "u1 anna\n",
            "data/a.wav": "",
            "data/b.wav": "",
        }
    )
    assert metadata.descriptions == {
        "data/a.wav": Description("anna", "", "HELLO WORLD"),
        "data/b.wav": Description("", "", ""),
    }
    assert problems(metadata) == [
        "data/wav.scp:3: a command, which is not run: not used",
        "data/wav.scp:4: no path: not used",
    ]


def test_other_encodings_and_headers_are_one_clear_problem() -> None:
    metadata = read(
        {"metadata.csv": "file,text\na.wav,Grüße\n".encode("latin-1"), "a.wav": "", "b/metadata.csv": "name,words\n"}
    )
    unknown, guessed = problems(metadata)
    assert unknown.startswith("b/metadata.csv:1: its first row 'name,words' is no header with a column of files")
    assert "known columns: file (also file_name, audio_file," in unknown
    assert guessed == "metadata.csv: read as CP1252: save it as UTF-8 if names or texts in it look wrong"
    assert metadata.descriptions["a.wav"].text == "Grüße"


def test_composed_and_decomposed_names_are_the_same() -> None:
    metadata = read({"metadata.csv": "speaker,file\nZoe\u0308,Zoe\u0308/a.wav\n", "Zo\u00eb/a.wav": ""})
    assert metadata.descriptions == {"Zo\u00eb/a.wav": Description("Zo\u00eb")}
    assert folder_speaker("Zoe\u0308/a.wav") == "Zo\u00eb"


@given(
    st.sampled_from(["metadata.csv", "x.list", "wav.scp"]),
    st.text(max_size=80),
    st.sampled_from(["file,text\n", "a|b\n", ""]),
)
def test_no_text_makes_reading_raise(name: str, text: str, head: str) -> None:
    read({name: (head + text).encode("utf-8", "replace"), "a.wav": ""})


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12), max_size=6))
def test_every_text_that_csv_can_write_is_read(texts: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["file", "text"], *([f"{n}.wav", text] for n, text in enumerate(texts))])
    metadata = read({"metadata.csv": out.getvalue()} | {f"{n}.wav": "" for n in range(len(texts))})
    assert metadata.problems == []
    assert [metadata.descriptions[f"{n}.wav"].text for n in range(len(texts))] == [
        " ".join(unicodedata.normalize("NFC", text).split()) for text in texts
    ]


@pytest.mark.parametrize(
    ("written", "code"),
    [("EN", "en"), ("en-US", "en"), ("en_GB", "en"), ("English", "en"), ("zh-CN", "zh"), ("cmn", "zh"), ("ZH", "zh"),
     ("JP", "ja"), ("deu", "de"), ("yue", "yue"), ("zh-yue", "yue"), ("und", ""), ("", ""), ("en+zh", ""), ("sv", "sv"),
     ("zh-Hant-TW", "zh"), ("gsw", "gsw")],
)  # fmt: skip
def test_languages(written: str, code: str) -> None:
    assert normalise_language(written) == code


@pytest.mark.parametrize("written", ["klingonish", "e", "12", "en us uk?"])
def test_text_that_names_no_language_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="not a language code"):
        normalise_language(written)


def test_the_id_of_an_inbox_follows_from_its_address(tmp_path: Path) -> None:
    assert Inbox(tmp_path).id == Inbox(f"file://{tmp_path}").id == Inbox(tmp_path / ".").id
