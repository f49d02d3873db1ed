"""Names: one form for all comparisons, slips, and which file a path means, also in random trees."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.storage.inbox.listing import InboxFile, Listing
from voicemill.storage.inbox.metadata import read_metadata
from voicemill.storage.inbox.names import (
    Places,
    Slips,
    beside,
    caseless,
    composed,
    folded,
    nearest,
    one_edit_apart,
    speaker_name,
)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Jose\u0301", "José"),
        ("  anna\t lee \n", "anna lee"),
        ("an\u00adna\u200b\ufeff", "anna"),
        ("anna\u3000lee\u00a0", "anna lee"),
        ("e\u200d\u0301", "é"),
        ("Anna", "Anna"),
        ("\u200b \u2060", ""),
    ],
)
def test_the_one_form_of_a_name(written: str, name: str) -> None:
    assert speaker_name(written) == name


@given(st.text(max_size=12))
def test_the_form_of_a_form_is_itself(text: str) -> None:
    name = speaker_name(text)
    assert speaker_name(name) == name
    assert folded(folded(name)) == folded(name)
    assert {folded(speaker_name(unicodedata.normalize(form, text))) for form in ("NFC", "NFD")} == {folded(name)}


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("anna", "ana", True), ("anna", "anma", True), ("anna", "anna", False), ("anna", "hanna", True),
        ("s1", "s2", False), ("s1", "s11", False), ("spk-1", "spk1", True), ("anna", "bob", False), ("", "a", True),
    ],
)  # fmt: skip
def test_one_edit(one: str, other: str, near: bool) -> None:
    assert one_edit_apart(one, other) is one_edit_apart(other, one) is near


@given(st.lists(st.text("ab1É", max_size=4), max_size=8), st.text("ab1É", max_size=4))
def test_slips_are_the_near_equal_names_and_those_one_edit_apart(names: list[str], name: str) -> None:
    near = {n for n in names if n != name and (folded(n) == folded(name) or one_edit_apart(folded(n), folded(name)))}
    assert Slips(names).of(name) == sorted(near)


def test_the_nearest_names() -> None:
    names = ["Anna", "hanna", "bob", "Annabel Lee", "李雷"]
    assert nearest("anna", names) == ["Anna", "hanna", "Annabel Lee"]
    assert nearest("李", names) == ["李雷"]
    assert nearest("xyz", names) == []


def test_a_path_is_exact_or_in_another_form_or_in_another_case_where_that_is_unique() -> None:
    nfd = unicodedata.normalize("NFD", "é.wav")
    places = Places((path, path) for path in ("a/U.wav", "a/u.wav", "a/Talk.wav", nfd, "b/É.wav"))
    assert places.find("a/u.wav") == ["a/u.wav"]
    assert places.find("a/talk.WAV") == ["a/Talk.wav"]
    assert places.find("a/U.WAV") == ["a/U.wav", "a/u.wav"]
    assert places.find("é.wav") == [nfd]
    assert places.find("b/é.wav") == ["b/É.wav"]
    assert places.find("a/none.wav", "a/u.wav") == ["a/u.wav"]
    assert places.find("none") == []


PARTS = ("a", "A", "é", "e\u0301", "É", "a ", " a", "ß", "ss", "SS", "b")
"""Names of files and folders that differ in case, Unicode form and spaces, or not at all."""
TREES = st.sets(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join), max_size=12)


@given(TREES, TREES, st.data())
def test_a_transcript_belongs_to_the_recording_beside_it(audio: set[str], texts: set[str], data: st.DataObject) -> None:
    ends = {stem: data.draw(st.sets(st.sampled_from([".txt", ".TXT", ".Txt"]), min_size=1)) for stem in texts}
    paths = [stem + end for stem in texts for end in ends[stem]]
    result = beside(audio, paths, ".txt")
    used = Counter(path for _, path in result.own.values())
    assert not used or max(used.values()) == 1
    assert not used.keys() & result.unclear.keys()
    for stem, (level, path) in result.own.items():
        written = path[:-4]
        assert stem.rpartition("/")[0] == written.rpartition("/")[0]
        assert (written == stem) is (level == 0)
        assert caseless(written) == caseless(stem)
        key = (str, composed, caseless)[level]
        if level:
            assert [other for other in audio if key_of(other, key) == key_of(stem, key)] == [stem]
            assert [other for other in texts if key_of(other, key) == key_of(written, key)] == [written]
    for stem in audio & texts:
        if ".txt" in ends[stem] or len(ends[stem]) == 1:
            assert result.own[stem][0] == 0
    for path in set(paths) - used.keys():
        near = [stem for stem in audio if key_of(stem, caseless) == key_of(path[:-4], caseless)]
        assert (path in result.unclear) is bool(near)


def key_of(stem: str, key: object) -> tuple[str, str]:
    folder, _, name = stem.rpartition("/")
    return folder, key(name)  # type: ignore[operator]


@given(TREES, st.sampled_from(["csv", "list", "scp", "bars"]), st.sampled_from(["", "a", "A/é"]))
def test_a_row_describes_the_recording_that_it_names(stems: set[str], layout: str, folder: str) -> None:
    """Each recording under the folder is named to the letter: it has the text of its own row, whatever is beside it."""
    own = sorted(stem for stem in stems if layout != "bars" or stem.strip() == stem)
    inside = f"{folder}/" if folder else ""
    listed = [stem for stem in own if " " not in stem or (layout == "csv" and stem.strip() == stem)]
    rows = {
        "csv": ("metadata.csv", "file,text\n", "{0}.wav,words of {1}\n"),
        "list": ("x.list", "", "{0}.wav|who|en|words of {1}\n"),
        "scp": ("wav.scp", "", "{1} {0}.wav\n"),
        "bars": ("metadata.csv", "", "{0}|words of {1}|\n"),
    }
    name, head, row = rows[layout]
    text = head + "".join(row.format(stem, number) for number, stem in enumerate(listed))
    files = {inside + name: text}
    if layout == "scp":
        files[f"{inside}text"] = "".join(f"{number} words of {number}\n" for number in range(len(listed)))
    audio = [InboxFile(path, 1, "") for path in sorted(f"{inside}{stem}.wav" for stem in stems)]
    others = {path: InboxFile(path, 1, "") for path in files}
    about = read_metadata(Listing(audio, others), lambda path: files[path].encode())
    texts = {path: description.text for path, description in about.descriptions.items()}
    assert texts == {f"{inside}{stem}.wav": f"words of {number}" for number, stem in enumerate(listed)}
    assert about.problems == [] or not listed
