"""Tables of neighbouring projects: each text goes to the recording that its row names, or nowhere, with a reason."""

import csv
import gzip
import io
import json
from collections.abc import Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from voicemill.storage.inbox.listing import AUDIO, InboxFile, Listing, extension
from voicemill.storage.inbox.metadata import Metadata, read_metadata

LONG = "he should make inquiries as to symptoms and time"


def about(tables: Mapping[str, str | bytes], *audio: str) -> Metadata:
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in tables.items()}
    files = [InboxFile(path, 1, "") for path in sorted({*audio, *data})]
    names = [file for file in files if extension(file.path) in AUDIO]
    return read_metadata(Listing(names, {file.path: file for file in files if file not in names}), data.__getitem__)


def rows(metadata: Metadata) -> dict[str, tuple[str, str, str]]:
    return {path: (row.speaker, row.language, row.text) for path, row in metadata.descriptions.items()}


def problems(metadata: Metadata) -> list[str]:
    return [str(problem) for problem in metadata.problems]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (f"1.wav|male1|{LONG}\n2.wav|male2|i really liked that account\n", {"1": ("male1", LONG)}),
        (f"1.wav|{LONG}|male1\n2.wav|i really liked that account|male2\n", {"1": ("male1", LONG)}),
        (f"1|{LONG}\n2|Two\n", {"1": ("default", LONG), "2": ("default", "Two")}),
        ("1|In 1890, yes|In eighteen ninety, yes\n2|Mr. Two|Mister Two\n", {"2": ("default", "Mister Two")}),
        ("1.wav|anna|ZH|你好,世界\n2.wav|bob|EN|yes\n", {"1": ("anna", "你好,世界"), "2": ("bob", "yes")}),
        ("1.wav|0|你今天在做什么呢？\n2.wav|1|我在家里看书。\n", {"1": ("0", "你今天在做什么呢？")}),
        (f"1.wav\t{LONG}\n2.wav\tAnd more, he said.\n", {"2": ("default", "And more, he said.")}),
        (f"1.wav;anna;{LONG}\n2.wav;bob;i really liked that account\n", {"1": ("anna", LONG)}),
        ("audio_file|text|speaker_name\n1.wav|one|anna\n", {"1": ("anna", "one")}),
        ("audio_file|text|speaker_name|emotion_name\n1.wav|one|anna|sad\n", {"1": ("anna", "one")}),
        ("sep=;\nFile Name;Sentence;Speaker-ID\n1.wav;one, two;anna\n", {"1": ("anna", "one, two")}),
        ("basename|speaker|language|characters|phones\n1|anna|und|one|w V n\n", {"1": ("anna", "one")}),
    ],
)
def test_layouts_without_doubt(table: str, expected: dict[str, tuple[str, str]]) -> None:
    metadata = about({"metadata.csv": table}, "1.wav", "2.wav")
    texts = {path[0]: (row.speaker, row.text) for path, row in metadata.descriptions.items()}
    assert {name: texts[name] for name in expected} == expected
    assert (metadata.problems, metadata.possible) == ([], {})


@pytest.mark.parametrize(
    "table",
    [
        "1.wav|anna|yes\n2.wav|bob|no\n",  # either may be the speaker
        "1.wav|anna\n2.wav|bob\n",  # a speaker, or a text of one word
        "1.wav|anna\n2.wav|anna\n1.wav|bob\n2.wav|bob\n",
        f"1.wav|x|{LONG}|y|z\n",
        f"1.wav|klingonish|{LONG}|{LONG}\n",
        "file,words\n1.wav,one\n",
        f"file,text,text\n1.wav,{LONG},two\n",
        json.dumps([{"file_name": "1.wav", "text": "one"}]),
    ],
)
def test_a_table_that_leaves_doubt_is_refused(table: str) -> None:
    """The refusal shows the first row and what is known; nothing of it is used, and no speaker is lost."""
    name = "metadata.json" if table.startswith("[") else "metadata.csv"
    metadata = about({name: table}, "1.wav", "2.wav")
    assert metadata.descriptions == {}
    (problem,) = problems(metadata)
    assert problem.startswith(f"{name}:1: ")
    if name.endswith("csv"):
        assert table.partition("\n")[0] in problem
        assert "1.wav" in metadata.possible
        assert metadata.possible["1.wav"].names >= {"1.wav"}  # type: ignore[operator]


def test_paths_of_gpt_sovits() -> None:
    name = "v.wav_0000000000_0000188480"
    for path in (f"output/slicer_opt/{name}.wav", f"D:\\GPT\\{name}.wav", f"/data/GPT/{name}.wav", f"{name}.wav"):
        for folder in ("", "anna/"):
            metadata = about({"x.list": f"{path}|anna|EN|yes\n"}, f"{folder}{name}.wav", "z/other.wav")
            expected = {} if folder and path.startswith(name) else {f"{folder}{name}.wav": ("anna", "en", "yes")}
            assert rows(metadata) == expected
            assert bool(metadata.problems) is not bool(expected)


def test_a_name_that_several_recordings_have_is_guessed_for_none() -> None:
    metadata = about({"x.list": "D:\\data\\1.wav|anna|EN|yes\n"}, "a/1.wav", "b/1.wav")
    assert metadata.descriptions == {}
    assert problems(metadata) == [
        "x.list:1: 'D:\\\\data\\\\1.wav' is none of ['a/1.wav', 'b/1.wav'] to the letter: not used"
    ]
    assert metadata.doubtful.keys() == {"a/1.wav", "b/1.wav"}
    metadata = about({"x.list": "/d/a/1.wav|anna|EN|yes\n/d/b/1.wav|bob|EN|no\n"}, "a/1.wav", "b/1.wav")
    assert rows(metadata) == {"a/1.wav": ("anna", "en", "yes"), "b/1.wav": ("bob", "en", "no")}
    metadata = about({"x.list": "/d/a/1.wav|anna|EN|yes\n/d/b/1.wav|bob|EN|no\n"}, "c/1.wav")
    assert metadata.descriptions == {}
    assert "'/d/b/1.wav' would be the same file" in problems(metadata)[0]
    metadata = about({"x.list": "/d/a/1.wav|anna|EN|yes\n"}, "a/2.wav", "b/1.wav")  # a/1.wav is missing
    assert metadata.descriptions == {}


def test_common_voice() -> None:
    head = "client_id\tpath\tsentence\tup_votes\tlocale\n"
    tables = {
        f"cv/en/{name}.tsv": head + f'{name[0] * 64}\tcommon_voice_en_{name}.mp3\tHe said "{name}".\t2\ten\n'
        for name in ("validated", "other", "invalidated")
    }
    tables |= {"cv/en/clip_durations.tsv": "clip\tduration[ms]\ncommon_voice_en_other.mp3\t4000\n"}
    tables |= {"cv/en/train.tsv": tables["cv/en/validated.tsv"]}
    tables |= {"cv/en/reported.tsv": "sentence\tsentence_id\tlocale\treason\nx\ty\ten\tz\n"}
    metadata = about(
        tables, *(f"cv/en/clips/common_voice_en_{name}.mp3" for name in ("validated", "other", "invalidated"))
    )
    assert {path.rpartition("_")[2]: row for path, row in rows(metadata).items()} == {
        "validated.mp3": ("v" * 64, "en", 'He said "validated".'),
        "other.mp3": ("o" * 64, "en", ""),
        "invalidated.mp3": ("i" * 64, "en", ""),
    }
    assert len(metadata.problems) == 2
    assert all("the texts of this table of Common Voice are not used" in problem for problem in problems(metadata))


def test_nemo_and_curator() -> None:
    lines: list[dict[str, object]] = [
        {"audio_filepath": "/data/set/1.wav", "duration": 4.2, "text": "one", "lang": "zh", "speaker": 3},
        {"audio_filepath": "/data/set/2.wav", "offset": 3.0, "duration": 1.0, "text": "last", "pred_text": "lost"},
        {"audio_filepath": "/data/set/2.wav", "offset": 0.5, "duration": 1.5, "text": "first", "wer": 0.1},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "{broken\n\n"
    for name, data in {"m.json": text.encode(), "m.jsonl.gz": gzip.compress(text.encode())}.items():
        metadata = about({name: data}, "1.wav", "2.wav")
        assert rows(metadata) == {"1.wav": ("3", "zh", "one"), "2.wav": ("", "", "first last")}
        assert [problem.line for problem in metadata.problems] == [4]
    assert about({"package.json": '{\n"name": "x", "main": "1.wav"}'}, "1.wav").problems == []
    assert about({"package.json": '{"name": "x", "main": "1.wav"}\n'}, "1.wav").problems == []


def test_several_people_in_one_recording() -> None:
    lines = [
        {"audio_filepath": "anna/1.wav", "offset": 0, "duration": 1, "text": "hi", "speaker": "anna"},
        {"audio_filepath": "anna/1.wav", "offset": 1, "duration": 1, "text": "hello", "speaker": "bob"},
        {"audio_filepath": "eve/1.wav", "offset": 0, "duration": 1, "text": "hi", "speaker": "anna"},
        {"audio_filepath": "eve/1.wav", "offset": 1, "duration": 1, "text": "hello", "speaker": "bob"},
    ]
    metadata = about({"m.jsonl": "".join(json.dumps(line) + "\n" for line in lines)}, "anna/1.wav", "eve/1.wav")
    row = metadata.descriptions["anna/1.wav"]
    assert (row.speaker, row.text, row.mixed, len(row.passages)) == ("", "hi", True, 2)
    assert list(metadata.doubtful) == ["eve/1.wav"]
    assert list(metadata.descriptions) == ["anna/1.wav"]


def test_ctm_and_librispeech() -> None:
    ctm = ";; x\n1 1 0.50 0.20 hello 0.9\n1 1 0.10 0.20 <eps>\n1 1 0.80 0.3 world\n2 A 0 1 a\n2 B 1 1 b\n1 1 x 1 y\n"
    metadata = about({"w/all.ctm": ctm}, "w/1.wav", "w/2.wav")
    assert rows(metadata) == {"w/1.wav": ("", "", "hello world")}
    assert [problem.line for problem in metadata.problems] == [5, 6, 7]
    folder = "LibriSpeech/dev-clean/1688/142285"
    metadata = about(
        {f"{folder}/1688-142285.trans.txt": "1688-142285-0000 YES IT IS\n1688-142285-0001 NO\n"},
        f"{folder}/1688-142285-0000.flac",
    )
    assert rows(metadata) == {f"{folder}/1688-142285-0000.flac": ("1688", "", "YES IT IS")}


def test_a_table_about_something_else_is_passed_over() -> None:
    tables = {"prices.csv": "item,price\npen,2\n", "x.json": "[1, 2]", "train.csv": "a|b|c\n", "notes.tsv": "\x00\xff"}
    metadata = about(tables, "1.wav")
    assert (metadata.problems, metadata.doubtful, metadata.possible, metadata.files) == ([], {}, {}, set())


SENTENCES = {
    "gb18030": "今天天气很好，我们去公园散步，然后回家吃饭。",
    "big5": "今天天氣很好，我們去公園散步，然後回家吃飯。",
    "cp1252": "Größere Städte müssen für die Bürger schöner werden, café.",
    "utf-16": "今天天气很好，größer",
    "utf-8-sig": "今天天气很好，größer",
    "utf-16-be": "plain text and größer",
}


@pytest.mark.parametrize("encoding", SENTENCES)
@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_encodings_and_separators(encoding: str, separator: str) -> None:
    text = SENTENCES[encoding]
    table = separator.join(["file", "speaker", "text"]) + "\n"
    table += "".join(
        separator.join([f"{n}.wav", "anna", f'"{text}"' if separator in text else text]) + "\n" for n in "12"
    )
    metadata = about({"metadata.csv": table.encode(encoding)}, "1.wav", "2.wav")
    assert rows(metadata) == dict.fromkeys(["1.wav", "2.wav"], ("anna", "", text))
    assert len(metadata.problems) == (encoding in ("gb18030", "big5", "cp1252"))


def test_a_short_table_in_gbk() -> None:
    metadata = about({"a.list": "1.wav|张三|ZH|你好，今天天气很好\n".encode("gbk")}, "1.wav")
    assert rows(metadata) == {"1.wav": ("张三", "zh", "你好，今天天气很好")}


SENTENCE = "so the cat sat on a mat and went home in 1890"
WORDS = st.lists(st.sampled_from(SENTENCE.split()), min_size=1, max_size=9)
SPEAKERS = st.sampled_from(["anna", "Bob B.", "s-01", "李雷", "male1"])
COLUMNS = {
    "file": ("file", "file_name", "audio_file", "audio_filepath", "path"),
    "text": ("text", "transcription", "sentence", "characters"),
    "speaker": ("speaker", "speaker_name", "client_id"),
    "language": ("language", "lang", "locale"),
    "id": ("index", "up_votes", "uuid"),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, bytes, dict[str, str], set[str], list[str]]:
    """Name and bytes of a table, path -> text of its rows, its other cells, and the recordings that exist."""
    count = draw(st.integers(1, 6))
    header = draw(st.booleans())
    folders = draw(st.lists(st.sampled_from(["", "anna/", "wavs/", "b/c/"]), min_size=count, max_size=count))
    paths = [f"{folder}r{number}.wav" for number, folder in enumerate(folders)]
    texts = [" ".join(draw(WORDS)) for _ in paths]
    speakers, ids = [draw(SPEAKERS) for _ in paths], [f"id{number}" for number in range(count)]
    columns = {"file": paths, "text": texts}
    if header:
        columns |= {"speaker": speakers, "id": ids, "language": ["en"] * count}
        order = draw(
            st.permutations(draw(st.sampled_from([[*columns], ["file", "text", "speaker"], ["file", "text"]])))
        )
    else:
        layouts = [["file", "text"], ["file", "speaker", "text"], ["file", "text", "speaker"], ["file", "speaker"]]
        layouts += [["file", "speaker", "language", "text"], ["file", "id", "speaker", "text"]]
        columns |= {"speaker": speakers, "id": ids, "language": ["EN"] * count}
        order = draw(st.sampled_from(layouts))
    separator = draw(st.sampled_from([",", ";", "|", "\t"]))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerows([[draw(st.sampled_from(COLUMNS[name])) for name in order]] if header else [])
    for number in range(count):
        writer.writerow([columns[name][number] for name in order])
        if draw(st.booleans()):
            out.write("\n")
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]))
    stated = dict(zip(paths, texts, strict=True)) if "text" in order else {}
    return "metadata.csv", out.getvalue().encode(encoding), stated, {*speakers, *ids, "EN", "en"}, paths


@given(tables(), st.data())
def test_a_text_belongs_to_its_row_and_no_other_cell_becomes_one(
    table: tuple[str, bytes, dict[str, str], set[str], list[str]], data: st.DataObject
) -> None:
    name, content, stated, others, paths = table
    assume(not others & set(stated.values()))
    present = data.draw(st.sets(st.sampled_from(paths)))
    metadata = about({name: content}, *present, "b/other.wav")
    for path, row in metadata.descriptions.items():
        assert path in present
        assert row.text in ("", stated.get(path))
        assert row.speaker in ("", "default", *others) or metadata.possible[path].names & others
    if b"file" in content and stated and content.isascii() and not metadata.doubtful:
        assert metadata.descriptions.keys() == present
