"""A machine that is short of something, or strange: limits of the shell, full disks beside the store, no inodes left, a
clock that jumps, processes that are stopped for a minute. Each ends in the rows of an undisturbed refresh, or in one
line first and in those rows when there is room.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from support.refreshed_store import check_ledger
from support.small_disk import small_disk
from support.stage_faults import environment, fault, until
from support.store_contents import Rows, contents, differences, numbers, processes, strays

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "voicemill.flows.cli.main")
ROOT = Path(__file__).resolve().parents[3]
DAY = 86_400
LONG_RATE = 22_050


@pytest.fixture(scope="module")
def calm(cli: Any, synthesised: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """Contents of the store after an undisturbed refresh of the small inbox."""
    store = tmp_path_factory.mktemp("calm") / "store"
    cli.refresh(synthesised, store)
    return contents(store)


def under(*limits: str) -> Sequence[str]:
    """The command line in a shell with limits, as "n 64"."""
    return ("/bin/sh", "-c", " && ".join(f"ulimit -{limit}" for limit in limits) + ' && exec "$@"', "sh", *COMMAND)


def one_line(cli: Any, inbox: Path, store: Path, *words: str, **how: Any) -> str:
    """The one line in which a refresh ends, without its first word."""
    ran = cli("refresh", "--inbox", inbox, "--store", store, *words, status=2, **how)
    assert ran.err.startswith("voicemill: ")
    assert len(ran.err.splitlines()) == 1, ran.err
    return str(ran.err.removeprefix("voicemill: "))


def check_same(store: Path, calm: dict[str, Rows]) -> None:
    assert differences(contents(store), calm) == []
    assert numbers(store) == [1]
    assert strays(store) == []
    assert processes(store) == []


def test_limits_that_are_too_low_are_refused(alone: Any, inbox: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert one_line(alone, inbox.root, store, command=under("n 63")).startswith(
        "a process may open 63 files here (ulimit -n), and needs at least 64: "
    )
    assert one_line(alone, inbox.root, store, command=under("v 5000000")).startswith(
        "a process may reserve 5.1 GB of addresses here (ulimit -v), and needs 8, "
    )
    checked = alone("doctor", "--json", status=1, command=under("n 63"))
    (limits,) = (check for check in checked.json if check["name"] == "limits")
    assert (limits["fine"], limits["mend"].split(",")[0]) == (False, "a process may open 63 files here (ulimit -n)")
    assert not (store / "prefect").exists()


@pytest.mark.nightly
def test_low_limits_and_a_full_temporary_folder(alone: Any, inbox: Any, tmp_path: Path, calm: dict[str, Rows]) -> None:
    store = tmp_path / "store"
    with small_disk(tmp_path / "tmp", "64k") as temporary:
        temporary.fill()
        command = under("n 64", "v 8000000")
        assert alone.refresh(inbox.root, store, command=command, TMPDIR=str(temporary.folder))["failures"] == {}
    check_same(store, calm)


@pytest.mark.nightly
def test_three_hours_of_audio_under_a_limit_of_memory(alone: Any, inbox: Any, tmp_path: Path) -> None:
    """One upload of 476 MB where a process may reserve 8 GB of addresses: every sample of it is in the ledger."""
    length = 3 * 3600 * LONG_RATE
    speech = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in sorted(inbox.root.glob("ann/*.wav"))])
    whole = tmp_path / "long" / "ann" / "long.wav"
    whole.parent.mkdir(parents=True)
    with soundfile.SoundFile(whole, "w", LONG_RATE, 1, "PCM_16") as file:
        while left := length - file.frames:
            file.write(speech[:left])
    words = ("--assume-consent", "test", "--json")
    store = tmp_path / "store"
    ran = alone("refresh", "--inbox", whole.parents[1], "--store", store, *words, command=under("v 8000000")).json
    assert ran["failures"] == {}
    assert sum(ran["seconds"].values()) == pytest.approx(3 * 3600, abs=1e-6)
    assert ran["seconds"]["kept"] > 3600
    check_ledger(CorpusVersion.open(Store.open(store)))


def test_a_library_that_does_not_load(alone: Any, inbox: Any, tmp_path: Path) -> None:
    """No upload is to blame, and no version is published of what is left."""
    store, broken = tmp_path / "store", tmp_path / "broken"
    broken.mkdir()
    (broken / "pyloudnorm.py").write_text("raise ImportError('x.so: failed to map segment from shared object')\n")
    path = f"{broken}{os.pathsep}{ROOT}"
    assert one_line(alone, inbox.root, store, PYTHONPATH=path).startswith(
        "the stage loudness needs a library that does not load here: x.so: failed to map segment"
    )
    assert numbers(store) == []


# nightly, with those below: one to three whole refreshes each. On a push test_room.py fills a disk, and the tests above
# see that limits are refused
@pytest.mark.nightly
def test_the_folder_of_the_server_runs_full(alone: Any, inbox: Any, tmp_path: Path, calm: dict[str, Rows]) -> None:
    store = Store.open(tmp_path / "store", create=True)
    with small_disk(store.prefect, "64k") as disk:
        line = one_line(alone, inbox.root, store.root)
        assert line.startswith(f"the private Prefect server ended at its start: no room on the disk of {store.prefect}")
        disk.resize("16m")
        marker = tmp_path / "marker"
        waits = environment(fault("slice", "wait", inbox.root / "ann" / "0.wav", marker))
        with alone.start("refresh", "--inbox", inbox.root, "--store", store.root, **waits) as refresh:
            until(marker)
            disk.fill()
            Path(f"{marker}.go").touch()
            _, err = refresh.communicate(timeout=300)
        assert refresh.returncode == 2, err
        assert len(err.splitlines()) == 1, err
        assert f"no room on the disk of {store.prefect}" in err
        assert numbers(store.root) == []
        (disk.folder / "fill").unlink()
        disk.resize("64m")
        alone.refresh(inbox.root, store.root)
        check_same(store.root, calm)


@pytest.mark.nightly
def test_no_inodes_are_left(alone: Any, inbox: Any, tmp_path: Path, calm: dict[str, Rows]) -> None:
    with small_disk(tmp_path / "disk", "500m", 24) as disk:
        store = disk.folder / "store"
        assert "its 1 batches take 14 files or more, and the disk of" in one_line(alone, inbox.root, store)
        disk.resize("500m", 40)
        assert "No space left on device" in one_line(alone, inbox.root, store)
        assert numbers(store) == []
        disk.resize("500m", 10_000)
        alone.refresh(inbox.root, store)
        check_same(store, calm)


@pytest.fixture
def clock(tmp_path: Path) -> tuple[Callable[[int], None], dict[str, str]]:
    """Sets how many seconds the clock of a command is ahead, and the environment of such a command."""
    compiler, library, file = shutil.which("cc"), tmp_path / "clock.so", tmp_path / "clock"
    if compiler is None:
        pytest.skip("needs a C compiler (cc) for a clock that can be set")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests" / "support" / "clock_shim.c"], check=True
    )

    def jump(seconds: int) -> None:
        with file.open("r+b") as opened:
            opened.write(seconds.to_bytes(8, "little", signed=True))

    file.write_bytes(bytes(8))
    return jump, {"LD_PRELOAD": str(library), "VOICEMILL_CLOCK": str(file)}


@pytest.mark.nightly
def test_a_clock_that_jumps(
    alone: Any, inbox: Any, tmp_path: Path, calm: dict[str, Rows], clock: tuple[Callable[[int], None], dict[str, str]]
) -> None:
    """A day ahead and then two back, server and workers included, in the middle of a refresh."""
    jump, preloaded = clock
    jump(DAY)
    told = alone("consent", "list", "--store", tmp_path / "store", status=2, **preloaded)
    assert "is not a voicemill store" in told.err
    store, first, second = tmp_path / "store", tmp_path / "first", tmp_path / "second"
    faults = (
        fault("slice", "wait", inbox.root / "ann" / "0.wav", first),
        fault("mel", "wait", inbox.root / "ann" / "0.wav", second),
    )
    jump(0)
    words = ("refresh", "--inbox", inbox.root, "--store", store)
    with alone.start(*words, **environment(*faults), **preloaded) as refresh:
        for marker, seconds in ((first, DAY), (second, -DAY)):
            until(marker)
            jump(seconds)
            Path(f"{marker}.go").touch()
        out, err = refresh.communicate(timeout=300)
    assert (refresh.returncode, err) == (0, ""), err
    assert "corpus version 1 published" in out
    check_same(store, calm)
    jump(0)
    assert alone.refresh(inbox.root, store, **preloaded)["batches_run"] == 0


# nightly: it waits for over a minute. On a push test_kill.py kills what is stopped here
@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["worker", "server", "all"])
def test_stopped_for_a_minute(alone: Any, inbox: Any, tmp_path: Path, calm: dict[str, Rows], kind: str) -> None:
    """As by a suspended machine, a debugger, or a disk that does not answer."""
    store, marker = tmp_path / "store", tmp_path / "marker"
    waits = environment(fault("mel", "wait", inbox.root / "ann" / "0.wav", marker))
    with alone.start("refresh", "--inbox", inbox.root, "--store", store, **waits) as refresh:
        until(marker)
        family = psutil.Process(refresh.pid).children(recursive=True)
        mark = {"worker": "spawn_main", "server": "service.serve", "all": ""}[kind]
        stopped = [each.pid for each in family if mark in " ".join(each.cmdline())]
        stopped += [refresh.pid] if kind == "all" else []
        assert stopped
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        Path(f"{marker}.go").touch()
        time.sleep(65)
        for process in stopped:
            os.kill(process, signal.SIGCONT)
        _, err = refresh.communicate(timeout=300)
    assert (refresh.returncode, err) == (0, "")
    check_same(store, calm)
