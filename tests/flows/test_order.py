"""The order in which uploads arrive does not matter: an inbox ends in the same rows, whatever refreshes, kills, batches
and workers brought it in.

Two columns of `uploads` are left out: `batch` and `batch_number` say with which uploads one was prepared, and when. Of
two uploads with equal samples but other bytes the one that came first is kept, so that its utterances stay; which one
that is, is left out as well, and nothing else.
"""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
from support.configs import plain
from support.refreshed_store import check_ledger
from support.refresher import Refresher
from support.store_contents import Rows, contents, differences, strays

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EQUAL_SAMPLES = ("ann/1.wav", "ann/1-as.flac")
SAME_BYTES = ("bob/0.wav", "bob/0-copy.wav")
"""The copy, which has no transcript, comes first by path, and so counts whenever it arrives."""
DAMAGED = "bob/torn.flac"
NIGHTLY = pytest.mark.nightly
PROCESSES = 0.1
"""Share of refreshes by worker processes, which import for ten times as long as the stages run."""
MOST_ACCESSES = 700
"""Kills fall before this access to a file of the store: a refresh of the whole inbox has about as many."""


@dataclass(frozen=True)
class Arrivals:
    """An inbox whose files arrive in any order, and what its rows must be in the end."""

    source: Path
    refresher: Refresher
    base: str
    """Shipped config."""
    expected: dict[str, Rows]

    @property
    def files(self) -> list[str]:
        """Files that arrive, transcripts apart from their recordings. The tables are there from the start."""
        paths = (path.relative_to(self.source) for path in self.source.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in paths if len(path.parts) > 1)

    def run(self, folder: Path, rng: random.Random) -> dict[str, Rows]:
        """Let the files arrive in a random order, in random refreshes of which some are killed; the rows in the end."""
        inbox, store, config = folder / "inbox", folder / "store", folder / "config.toml"
        shutil.copytree(self.source, inbox, ignore=lambda path, names: names if Path(path) != self.source else [])
        files = self.files
        rng.shuffle(files)
        options = {"inbox": str(inbox), "store": str(store), "config": str(config)}
        cuts = sorted(rng.sample(range(1, len(files)), rng.choice((0, 1, 2, 3))))
        for start, stop in zip([0, *cuts], [*cuts, len(files)], strict=True):
            for name in files[start:stop]:
                shutil.copy2(self.source / name, inbox / name)
            write_config(config, self.base, rng)
            if rng.random() < 0.5:
                self.refresher(**options, kill_at=rng.randint(1, MOST_ACCESSES))
            if stop == len(files) or rng.random() < 0.7:  # else more arrives before the next attempt
                self.refresher(**options)
        assert strays(store) == []
        check_ledger(CorpusVersion.open(Store.open(store)))
        return comparable(contents(store))


def write_config(path: Path, base: str, rng: random.Random) -> None:
    """A config with random settings of what must not change a row: sizes of batches and lots, runner and workers."""
    own = (
        f"[batches]\nminutes = {rng.choice((0.15, 0.3, 20))}\n"
        f'[run]\nrunner = "{"processes" if rng.random() < PROCESSES else "threads"}"\n'
        f"workers = {rng.choice((1, 2))}\nlot_batches = {rng.choice((1, 2, 14))}\n"
    )
    path.write_text(plain(own) if base == "plain" else own)


def comparable(rows: dict[str, Rows]) -> dict[str, Rows]:
    """Contents without what depends on the order by design, see the head of this file."""
    names: dict[str, str] = {}
    for row in rows["uploads"]:
        del row["batch"], row["batch_number"]
        if row["path"] in EQUAL_SAMPLES:
            role = "kept" if row["state"] == "prepared" else "repeated"
            names |= {row["sha256"]: role, row["path"]: role, row["sha256"][:16]: role}
            row |= {"codec": "", "size": 0}
    assert len(set(names.values())) == 2, names
    names |= {f"same samples as {path}": f"same samples as {names[path]}" for path in EQUAL_SAMPLES}

    def renamed(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        start, dash, index = value.partition("-")  # ids of utterances begin with that of their upload
        return names.get(value) or (f"{names[start]}{dash}{index}" if start in names else value)

    changed = {table: [{k: renamed(v) for k, v in row.items()} for row in own] for table, own in rows.items()}
    return {table: sorted(own, key=place) for table, own in changed.items()}


def place(row: dict[str, Any]) -> tuple[str, int]:
    return row.get("id") or row.get("upload") or row["path"], row.get("start", 0)


def fill(source: Path, synthesised: Path) -> None:
    """Ten uploads of three speakers in two languages: two with the same bytes, two with equal samples, a torn one."""
    shutil.copytree(synthesised, source)
    wave, rate = soundfile.read(source / EQUAL_SAMPLES[0], dtype="int16")
    soundfile.write(source / EQUAL_SAMPLES[1], wave, rate)
    shutil.copy(source / "ann/1.txt", source / "ann/1-as.txt")
    shutil.copy(source / SAME_BYTES[0], source / SAME_BYTES[1])
    wave, rate = soundfile.read(synthesised.parent / "spare.wav", dtype="int16")
    soundfile.write(source / DAMAGED, wave[::-1], rate)  # backward: else it would be the recording of another upload
    whole = (source / DAMAGED).read_bytes()
    (source / DAMAGED).write_bytes(whole[: len(whole) // 2])
    shutil.copy(synthesised.parent / "spare.wav", source / "cem" / "1.wav")
    with (source / "metadata.csv").open("a") as table:
        table.write(f"ann,{EQUAL_SAMPLES[1]},en,\ncem,cem/1.wav,en,\n")


@pytest.fixture(scope="module")
def source(synthesised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "inbox"
    fill(folder, synthesised)
    return folder


@pytest.fixture(scope="module")
def refresher(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refresher]:
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL"}
    with Refresher(cli.environment | quiet, tmp_path_factory.mktemp("refresher") / "log") as process:
        yield process


def arrivals_of(base: str, source: Path, refresher: Refresher, folder: Path) -> Arrivals:
    """The inbox under a shipped config, and its rows after one undisturbed refresh by one worker."""
    config = '[run]\nworkers = 1\nrunner = "threads"\n'
    (folder / "config.toml").write_text(plain(config) if base == "plain" else config)
    options = {"inbox": str(source), "store": str(folder / "store"), "config": str(folder / "config.toml")}
    refresher(**options)
    rows = comparable(contents(folder / "store"))
    states = {row["path"]: row["state"] for row in rows["uploads"]}
    assert [states[name] for name in SAME_BYTES] == ["duplicate", "prepared"]
    assert states[DAMAGED] == "prepared"  # its first half
    return Arrivals(source, refresher, base, rows)


@pytest.fixture(scope="module")
def arrivals(source: Path, refresher: Refresher, tmp_path_factory: pytest.TempPathFactory) -> Arrivals:
    return arrivals_of("plain", source, refresher, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def modelled(source: Path, refresher: Refresher, tmp_path_factory: pytest.TempPathFactory) -> Arrivals:
    return arrivals_of("default", source, refresher, tmp_path_factory.mktemp("default"))


def check(arrivals: Arrivals, folder: Path, seed: int) -> None:
    rows = arrivals.run(folder, random.Random(seed))
    assert differences(arrivals.expected, rows) == [], f"seed {seed}"


# nightly: ten minutes. On a push the two shortest of the fifty
@pytest.mark.parametrize("seed", [pytest.param(n, marks=[NIGHTLY] * (n not in (0, 6))) for n in range(50)])
def test_a_random_schedule(arrivals: Arrivals, tmp_path: Path, seed: int) -> None:
    check(arrivals, tmp_path, seed)


# nightly: the embedded models take a minute. On a push the schedules above run without models
@NIGHTLY
@pytest.mark.parametrize("seed", range(6))
def test_a_random_schedule_with_models(modelled: Arrivals, tmp_path: Path, seed: int) -> None:
    check(modelled, tmp_path, seed)
