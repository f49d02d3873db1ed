"""Refreshes of real recordings complete and account for every sample of every upload.

On a push 60 recordings, of every language, sample rate and, with and without a transcript, as many speakers as
possible; nightly all 566.
"""

import csv
import hashlib
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.refreshed_store import RefreshedStore, check_ledger, stages_run

SPEECH = Path(__file__).parents[2].parent / "shared" / "speech"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech"),
]


@dataclass(frozen=True)
class Expected:
    """Expected result of a refresh of a number of recordings."""

    uploads: int
    speakers: int
    utterances: int
    """Smallest accepted value."""
    aligned: int
    """Smallest accepted value."""
    copies: int
    """Uploads that are the recording of another one."""


PUSH = Expected(uploads=60, speakers=50, utterances=60, aligned=12, copies=0)
ALL = Expected(uploads=566, speakers=138, utterances=500, aligned=100, copies=1)
LONGEST_S = 30.0
"""Longest recording of the 60; single ones last minutes."""


def sample_of_recordings(folder: Path, number: int) -> Path:
    """`folder` filled with so many recordings and their metadata: one of each stratum (language, sample rate, with or
    without text) in turn, new speakers first, in an order that only the names of the files decide."""
    with (SPEECH / "recordings" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["duration_s"]) <= LONGEST_S]
    strata: dict[tuple[str, str, bool], list[dict[str, str]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: hashlib.sha256(row["file"].encode()).digest()):
        strata[row["language"], row["sample_rate"], bool(row["text"])].append(row)
    chosen: list[dict[str, str]] = []
    while len(chosen) < number:
        for queue in (queue for _, queue in sorted(strata.items()) if queue):
            speakers = {row["speaker"] for row in chosen}
            chosen.append(next((row for row in queue if row["speaker"] not in speakers), queue[0]))
            queue.remove(chosen[-1])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(chosen[:number])
    for row in chosen[:number]:
        (folder / row["file"]).parent.mkdir(exist_ok=True)
        shutil.copy(SPEECH / "recordings" / row["file"], folder / row["file"])
    return folder


@dataclass(frozen=True)
class Recordings:
    """The recordings after their first refresh as a person runs it."""

    refreshed: RefreshedStore
    """Store after both refreshes; its summary is the JSON of the second."""
    printed: str
    """Output of the first refresh."""
    expected: Expected


@pytest.fixture(scope="module", params=[PUSH, pytest.param(ALL, marks=pytest.mark.nightly)], ids=["push", "all"])
def recordings(request, alone, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    folder = tmp_path_factory.mktemp("recordings")
    inbox = SPEECH / "recordings"
    if request.param is not ALL:
        (folder / "inbox").mkdir()
        inbox = sample_of_recordings(folder / "inbox", request.param.uploads)
    words = ("refresh", "--inbox", inbox, "--assume-consent", "test", "--store", folder / "store")
    first = alone(*words, COLUMNS="100", timeout=3000)
    assert first.err == ""
    again = alone(*words, "--json")
    assert again.err == ""
    return Recordings(RefreshedStore(inbox, folder / "store", folder, again.json), first.out, request.param)


def test_all_recordings_become_a_corpus(recordings: Recordings) -> None:
    refreshed, expected = recordings.refreshed, recordings.expected
    assert recordings.printed.startswith("corpus version 1 published")
    assert [line for line in recordings.printed.splitlines() if len(line) > 100] == []
    rows = refreshed.version().uploads(["speaker", "rate", "language", "state", "consent"]).to_pylist()
    assert len(rows) == expected.uploads
    assert len({row["speaker"] for row in rows}) == expected.speakers
    assert sum(row["state"] == "duplicate" for row in rows) == expected.copies  # p228_023 of VCTK is there twice
    assert sum(row["state"] == "prepared" for row in rows) == expected.uploads - expected.copies
    assert {row["consent"] for row in rows} == {"assumed: test"}
    assert min(row["rate"] for row in rows) == 8_000
    assert max(row["rate"] for row in rows) == 48_000
    assert {"en", "zh", "de", "es"} <= {row["language"] for row in rows}


def test_a_second_refresh_of_the_recordings_runs_nothing(recordings: Recordings) -> None:
    summary = recordings.refreshed.summary
    assert stages_run(summary) == {}
    assert (summary["version"], summary["published"]) == (1, False)
    expected = recordings.expected
    assert summary["uploads"].get("duplicate", 0) == expected.copies
    assert summary["uploads"]["prepared"] == expected.uploads - expected.copies


def test_every_second_of_the_recordings_is_accounted_for(recordings: Recordings) -> None:
    refreshed = recordings.refreshed
    sums = check_ledger(refreshed.version())
    seconds = refreshed.summary["seconds"]
    assert {name: sums[name] / 32_000 for name in seconds} == pytest.approx(seconds, abs=1e-6)
    assert sums["failed"] == sums["corrupt"] == 0
    assert sums["kept"] / sum(sums.values()) > 0.7


def test_the_recordings_kept_are_whole(recordings: Recordings) -> None:
    """Texts are stored, words lie within their utterance, and features have the order of the utterances."""
    corpus, expected = recordings.refreshed.version(), recordings.expected
    rows = corpus.utterances(["id", "start", "stop", "text", "words", "alignment", "seconds"]).to_pylist()
    assert len(rows) > expected.utterances
    assert all(1.0 <= row["seconds"] <= 15.0 for row in rows)
    assert all(row["start"] <= w["start"] < w["stop"] <= row["stop"] for row in rows for w in row["words"])
    aligned = [row for row in rows if row["alignment"] == "aligned"]
    assert len(aligned) > expected.aligned
    assert all(row["text"] and row["words"] for row in aligned)
    for name in ("content", "f0", "mel"):
        assert corpus.features(name, ["id"])["id"].to_pylist() == [row["id"] for row in rows]


CORRUPT = {
    "bad.wav",
    "evil.wav",
    "goforward.raw",
    "mono.empty.wav",
    "mono.invalid.wav",
    "mono.zero.wav",
    "null.wav",
}
"""Files that are corrupt; tests/tasks/stages/test_decode.py has their reasons."""


SAME = {"chan3.sph": "chan3.2chan.wav", "cold_corpus_32bit_float.wav": "cold_corpus_24bit.wav"}
"""Files with the samples of others in other containers."""
AGAIN = {
    "48000_test01_20s.wav": "16000_test01_20s.wav",
    "8000_test01_20s.wav": "16000_test01_20s.wav",
    "audio-stereo-32-bit-44100Hz.wav": "audio-mono-8-bit-44100Hz.wav",
    "p001.mp3": "p001.aac",
    "p001.ogg": "p001.aac",
    "p001.webm": "p001.aac",
    "stereo_24bit.WAV": "stereo_16bit.wav",
}
"""Files with the recordings of others in other encodings."""


def test_no_file_of_formats_stops_a_refresh(cli, tmp_path: Path) -> None:
    """45 files, some broken on purpose: each has a state, and decoded audio is accounted for."""
    folder = SPEECH / "formats"
    done = cli.refresh(folder, tmp_path / "store", "--assume-consent", "test")
    refreshed = RefreshedStore(folder, tmp_path / "store", tmp_path, done)
    rows = refreshed.version().uploads(["path", "state", "detail"]).to_pylist()
    assert {row["path"]: row["detail"] for row in rows if row["path"] in SAME} == {
        name: f"same samples as {original}" for name, original in SAME.items()
    }
    heard = {row["path"]: row["detail"] for row in rows if row["path"] in AGAIN}
    assert all(heard[name].endswith(f" s are in {original}") for name, original in AGAIN.items()), heard
    twice = SAME | AGAIN
    assert {row["path"]: row["state"] for row in rows} == {
        path.name: "corrupt" if path.name in CORRUPT else "duplicate" if path.name in twice else "prepared"
        for path in folder.iterdir()
        if path.name != "metadata.csv"
    }
    assert done["uploads"] == {"corrupt": 7, "duplicate": 9, "prepared": 29}
    check_ledger(refreshed.version())
