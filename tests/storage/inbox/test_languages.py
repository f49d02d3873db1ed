"""Languages of folders and in names of files: the nearest folder counts, and a bad row is a problem."""

import pytest

from voicemill.storage.inbox.languages import read_folder_languages, tagged_files


def test_the_nearest_folder_counts() -> None:
    folders = read_folder_languages("Folder,Language\nanna,German\nanna/podcast/,en-US\n\n./ben,zh-CN\n")
    paths = ("anna/0.wav", "anna/podcast/1/0.wav", "anna/podcasts/0.wav", "ben/0.wav", "carl/0.wav", "0.wav")
    assert [folders.of(path) for path in paths] == ["de", "en", "de", "zh", "", ""]
    assert folders.problems == ()


def test_what_cannot_be_used_is_a_problem() -> None:
    folders = read_folder_languages("folder,language\nanna,de\nanna,en\nben,klingonish!\n,en\ncarl\n")
    assert dict(folders.by_folder) == {"anna": "de", "carl": ""}
    assert [problem.line for problem in folders.problems] == [3, 4, 5]
    (problem,) = read_folder_languages("anna,de\n").problems
    assert "no columns folder and language" in str(problem)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_encoding_and_separator(encoding: str, separator: str) -> None:
    table = f"language{separator}folder\r\nGerman{separator}Zoë\r\n".encode(encoding)
    assert read_folder_languages(table).of("Zoë/1.wav") == "de"


@pytest.mark.parametrize(
    "table", [b'folder,language\n"anna,de\n', b"\xff\x00\x81", b"folder,language\n" + b'"' * 200_001]
)
def test_a_table_that_cannot_be_read_states_nothing(table: bytes) -> None:
    folders = read_folder_languages(table)
    assert dict(folders.by_folder) == {}
    assert "it states no language" in str(folders.problems[0])


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.en.vtt", "en"), ("a.de.srt", "de"), ("a.en-US.vtt", "en"), ("a.zh_CN.srt", "zh"), ("a.en.sdh.srt", "en"),
        ("a.en-orig.vtt", "en"), ("a.english.txt", "en"), ("A.DE.SRT", "de"), ("a.zh-Hans.vtt", "zh"),
        ("a.de.lab", "de"),
        ("a.one.txt", ""), ("a.1.txt", ""), ("a.final.txt", ""), ("b.en.vtt", ""), ("a.en.csv", ""), ("a..en.vtt", ""),
        ("a.en.wav.srt", ""), ("sub/a.en.srt", ""), ("c.en.txt", ""),
    ],
)  # fmt: skip
def test_a_language_in_the_name_of_a_transcript(name: str, language: str) -> None:
    found = tagged_files(["d/a", "d/c.en", "d/c"], [f"d/{name}"], (".txt", ".lab", ".srt", ".vtt"))
    assert [file.language for file in found.get("d/a", ())] == ([language] if language else [])
    assert not found or found["d/a"][0].ending == name[1:].lower()
