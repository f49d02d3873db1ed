"""Tables and transcripts as their own projects write them (`written/README.md` says by which call)."""

from pathlib import Path

import pytest

from voicemill.storage.inbox.decoding import decode_table
from voicemill.storage.inbox.listing import InboxFile, Listing
from voicemill.storage.inbox.metadata import read_metadata
from voicemill.storage.inbox.transcripts.rows import Passage, covered, joined
from voicemill.storage.inbox.transcripts.subtitles import read_subtitles
from voicemill.storage.inbox.transcripts.textgrid import read_textgrid

WRITTEN = Path(__file__).parent / "written"
PARTS = [(0.5, 1.5, "first part"), (2.0, 3.5, "second part")]

Rows = dict[str, tuple[str, str, str]]
LHOTSE: Rows = {"a": ("anna", "en", "first part second part"), "b": ("bob", "en", "all of it")}


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("lhotse", LHOTSE),
        ("lhotse_cuts", LHOTSE),
        ("kaldi", LHOTSE),
        ("everyvoice", {"a": ("anna", "en", "one | two"), "b": ("bob", "fr", 'il dit "oui"')}),
        ("xtts", {"a": ("anna", "", 'He said "so", twice.'), "b": ("bob", "", "one | two")}),
        ("huggingface", {"a": ("7", "", 'a, "quoted" text'), "b": ("8", "", "plain")}),
        ("huggingface_json", {"a": ("7", "", 'a, "quoted" text'), "b": ("8", "", "plain")}),
    ],
)
@pytest.mark.parametrize("inside", ["", "set/"])
def test_tables(folder: str, expected: Rows, inside: str) -> None:
    data = {f"{inside}{path.name}": path.read_bytes() for path in (WRITTEN / folder).iterdir()}
    audio = "" if folder.startswith("hugging") else "wavs/"
    names = [InboxFile(f"{inside}{audio}{name}.wav", 1, "") for name in ("a", "b", "c")]
    about = read_metadata(Listing(names, {path: InboxFile(path, 1, "") for path in data}), data.__getitem__)
    rows = {path[-5]: (row.speaker, row.language, row.text) for path, row in about.descriptions.items()}
    assert rows == expected
    assert (about.problems, about.refused, about.doubtful, about.possible) == ([], {}, {}, {})
    if expected is LHOTSE:
        passages = about.descriptions[f"{inside}{audio}a.wav"].passages
        assert [(row.start, row.stop, row.text) for row in passages] == PARTS
        assert covered(passages) == 2.5


@pytest.mark.parametrize("path", sorted((WRITTEN / "textgrid").iterdir()), ids=lambda path: path.name)
def test_textgrids(path: Path) -> None:
    passages = read_textgrid(decode_table(path.read_bytes()).text)
    assert joined(passages) == 'say "hello" grüße'
    assert passages[-1] == Passage(2.5, 3.0, "grüße", "anna" if path.name.startswith("praatio") else "")
    assert covered(passages) == 2.0


@pytest.mark.parametrize("path", sorted((WRITTEN / "subtitles").iterdir()), ids=lambda path: path.name)
def test_subtitles(path: Path) -> None:
    passages = read_subtitles(decode_table(path.read_bytes()).text, path.suffix)
    voice, more = ("Anna", " & more") if path.suffix == ".vtt" else ("", "")
    assert passages == (Passage(0.5, 2.0, f"Say hello{more}", voice), Passage(2.5, 3.0, "grüße", voice))
