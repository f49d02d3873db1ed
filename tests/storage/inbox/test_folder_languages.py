"""languages.csv: the nearest folder counts, and a bad row is a problem."""

from voicemill.storage.inbox.folder_languages import read_folder_languages


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
