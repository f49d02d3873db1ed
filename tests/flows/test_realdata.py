"""Refreshes of real recordings: they end well, and every sample of every upload is accounted for."""

from collections import defaultdict
from pathlib import Path

import pytest
from support.refreshed_store import RefreshedStore, stages_run

from voicemill.storage.corpus import ledger
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import LedgerRow
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import LedgerInterval

SPEECH = Path(__file__).parents[2].parent / "shared" / "speech"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech"),
]


def check_ledger(corpus: CorpusVersion) -> dict[str, int]:
    """Every upload that was decoded: its rows tile it, to the sample. Returns samples by outcome."""
    rows: dict[str, list[LedgerInterval]] = defaultdict(list)
    for row in from_table(corpus.ledger(), LedgerRow):
        rows[row.upload].append(LedgerInterval(row.upload, row.start, row.stop, row.outcome, row.reason))
    uploads = [row for row in corpus.uploads(["sha256", "samples", "batch"]).to_pylist() if row["batch"]]
    assert rows.keys() == {upload["sha256"] for upload in uploads}
    sums: dict[str, int] = defaultdict(int)
    for upload in uploads:
        found = sorted(rows[upload["sha256"]], key=lambda row: row.start)
        ledger.check(found, upload["samples"])
        assert sum(row.stop - row.start for row in found) == upload["samples"]
        for row in found:
            sums[row.outcome.value] += row.stop - row.start
    return sums


@pytest.fixture(scope="module")
def recordings(alone, tmp_path_factory: pytest.TempPathFactory) -> tuple[RefreshedStore, str]:
    """The recordings after their first refresh as a person runs it, the JSON of the second, and what was printed."""
    folder = tmp_path_factory.mktemp("recordings")
    words = ("refresh", "--inbox", SPEECH / "recordings", "--assume-consent", "test", "--store", folder / "store")
    told = alone(*words, COLUMNS="100", timeout=3000)
    assert told.err == ""
    (folder / "summary.txt").write_text(told.out, encoding="utf-8")
    again = alone(*words, "--json")
    assert again.err == ""
    return RefreshedStore(SPEECH / "recordings", folder / "store", folder, again.json), told.out


def test_all_recordings_become_a_corpus(recordings: tuple[RefreshedStore, str]) -> None:
    refreshed, told = recordings
    assert told.startswith("corpus version 1 published")
    assert all(len(line) <= 100 for line in told.splitlines())
    rows = refreshed.version().uploads(["speaker", "rate", "language", "state", "consent"]).to_pylist()
    assert len(rows) == 566
    assert len({row["speaker"] for row in rows}) == 138
    assert {row["state"] for row in rows} == {"prepared"}
    assert {row["consent"] for row in rows} == {"assumed: test"}
    assert min(row["rate"] for row in rows) == 8_000
    assert max(row["rate"] for row in rows) == 48_000
    assert {"en", "zh", "de", "es"} <= {row["language"] for row in rows}


def test_a_second_refresh_of_the_recordings_runs_nothing(recordings: tuple[RefreshedStore, str]) -> None:
    refreshed, _ = recordings
    assert stages_run(refreshed.summary) == {}
    assert (refreshed.summary["version"], refreshed.summary["published"]) == (1, False)
    assert refreshed.summary["uploads"] == {"prepared": 566}


def test_every_second_of_the_recordings_is_accounted_for(recordings: tuple[RefreshedStore, str]) -> None:
    refreshed, _ = recordings
    sums = check_ledger(refreshed.version())
    told = refreshed.summary["seconds"]
    assert {name: sums[name] / 32_000 for name in told} == pytest.approx(told, abs=1e-6)
    assert sums["failed"] == sums["corrupt"] == 0
    assert sums["kept"] / sum(sums.values()) > 0.7


def test_the_recordings_kept_are_whole(recordings: tuple[RefreshedStore, str]) -> None:
    """Text stands where there was any, words lie in their utterance, features in the order of the utterances."""
    corpus = recordings[0].version()
    rows = corpus.utterances(["id", "start", "stop", "text", "words", "alignment", "seconds"]).to_pylist()
    assert len(rows) > 500
    assert all(1.0 <= row["seconds"] <= 15.0 for row in rows)
    assert all(row["start"] <= w["start"] < w["stop"] <= row["stop"] for row in rows for w in row["words"])
    aligned = [row for row in rows if row["alignment"] == "aligned"]
    assert len(aligned) > 100
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
    "p001.flac",
}
"""The reason of each stands in tests/tasks/stages/test_decode.py."""


SAME = {"chan3.sph", "cold_corpus_32bit_float.wav"}
"""In other containers the samples of chan3.2chan.wav and cold_corpus_24bit.wav."""


def test_no_file_of_formats_stops_a_refresh(cli, tmp_path: Path) -> None:
    """45 files, some of them broken on purpose: each has a state, and what was decoded is accounted for."""
    folder = SPEECH / "formats"
    done = cli.refresh(folder, tmp_path / "store", "--assume-consent", "test")
    refreshed = RefreshedStore(folder, tmp_path / "store", tmp_path, done)
    states = {row["path"]: row["state"] for row in refreshed.version().uploads(["path", "state"]).to_pylist()}
    assert states == {
        path.name: "corrupt" if path.name in CORRUPT else "duplicate" if path.name in SAME else "prepared"
        for path in folder.iterdir()
        if path.name != "metadata.csv"
    }
    assert done["uploads"] == {"corrupt": 8, "duplicate": 2, "prepared": 35}
    check_ledger(refreshed.version())
