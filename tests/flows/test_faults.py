"""Faults that a refresh survives, each injected from outside into the real command in a process of its own."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.configs import plain
from support.server_database import with_database
from support.stage_faults import FAULTS, environment, fault, limited, until
from support.store_contents import contents, differences, numbers, processes, strays
from support.tiny_speech_models import tiny_encoder

from voicemill.storage.store import Store
from voicemill.tasks.registry import STAGES

pytestmark = pytest.mark.slow

CURSED = "stage_error: RuntimeError: this upload is cursed"
DIED = "worker_died: a worker died in"


@pytest.fixture(scope="module")
def undisturbed(cli: Any, synthesised: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Contents of the store after an undisturbed refresh of the small inbox."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    cli.refresh(synthesised, store)
    return contents(store)


def seconds(summary: dict[str, Any], stage: str) -> float:
    """Seconds of audio that a stage ran on."""
    found: float = summary["stages"][stage]["seconds"]
    return found


def header(path: Path) -> float:
    import soundfile

    return float(round(soundfile.info(path).duration, 3))


# nightly: the stages one by one. A push has three of them fail in one run, one by killing its worker
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [
                ("decode", "raise", "ann/0.wav"),
                ("slice", "raise", "ann/1.wav"),
                ("denoise", "kill", "bob/0.wav"),
                ("loudness", "raise", "bob/1.wav"),
                ("shards", "raise", "cem/0.wav"),
            ],
            marks=pytest.mark.nightly,
            id="first-half",
        ),
        pytest.param(
            [
                ("transcribe", "raise", "ann/0.wav"),
                ("align", "raise", "ann/1.wav"),
                ("content", "raise", "bob/0.wav"),
                ("f0", "kill", "bob/1.wav"),
                ("mel", "raise", "cem/0.wav"),
            ],
            marks=pytest.mark.nightly,
            id="second-half",
        ),
        pytest.param(
            [("decode", "kill", "ann/0.wav"), ("screen", "raise", "bob/0.wav"), ("shards", "kill", "cem/0.wav")],
            marks=pytest.mark.nightly,
            id="killers",
        ),
        pytest.param(
            [("decode", "kill", "ann/0.wav"), ("screen", "raise", "bob/0.wav"), ("shards", "raise", "cem/0.wav")],
            id="push",
        ),
    ],
)
def test_an_upload_that_breaks_a_stage_fails_and_is_retried(
    cli: Any, inbox: Any, tmp_path: Path, undisturbed: dict[str, Any], faults: list[tuple[str, str, str]]
) -> None:
    store = tmp_path / "store"
    broken = environment(*(fault(stage, what, inbox.root / path) for stage, what, path in faults))
    first = cli.refresh(inbox.root, store, **broken)
    assert (first["published"], first["broken"]) == (True, {})
    assert first["uploads"] == {"failed": len(faults), "prepared": 6 - len(faults)}
    expected = {path: CURSED if what == "raise" else f"{DIED} {stage}" for stage, what, path in faults}
    assert first["failures"] == expected
    healthy = {"ann/0.wav", "ann/1.wav", "ann/both.wav", "bob/0.wav", "bob/1.wav", "cem/0.wav"}
    assert {row["path"] for row in contents(store)["utterances"]} == healthy - expected.keys()
    stages = {row["stage"] for row in contents(store)["ledger"] if row["outcome"] == "failed"}
    assert stages == {stage for stage, _, _ in faults}

    again = cli.refresh(inbox.root, store, **broken)
    assert (again["published"], again["failures"], numbers(store)) == (False, expected, [1])
    if (stage := faults[0][0]) != "shards":
        assert seconds(again, stage) == header(inbox.root / faults[0][2])
    bad = sum(header(inbox.root / path) for _, _, path in faults)
    assert all(seconds(again, stage.name) <= bad + 0.01 for stage in STAGES if stage.name != "shards")

    mended = cli.refresh(inbox.root, store)
    assert (mended["published"], mended["failures"], mended["uploads"]) == (True, {}, {"prepared": 6})
    assert differences(contents(store), undisturbed) == []
    assert strays(store) == []
    assert cli.refresh(inbox.root, store)["batches_run"] == 0


# nightly: three refreshes. On a push tests/tasks/intake/test_scan.py reads an inbox without the power of root
@pytest.mark.nightly
def test_an_unreadable_file_fails_until_it_is_readable(
    cli: Any, inbox: Any, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    store, path = tmp_path / "store", inbox.root / "bob" / "1.wav"
    path.chmod(0)
    command = [sys.executable, str(FAULTS / "unprivileged.py"), sys.executable, "-m", "voicemill.flows.cli.main"]
    first = cli.refresh(inbox.root, store, command=command)
    assert (first["published"], first["uploads"]) == (True, {"failed": 1, "prepared": 5})
    (error,) = first["failures"].values()
    assert error.startswith("unreadable: ")
    assert "Permission denied" in error
    again = cli.refresh(inbox.root, store, command=command)
    assert (again["published"], again["batches_run"]) == (False, 0)
    path.chmod(0o644)
    assert cli.refresh(inbox.root, store, command=command)["uploads"] == {"prepared": 6}
    assert [row["id"] for row in contents(store)["utterances"]] == [row["id"] for row in undisturbed["utterances"]]


# nightly: three refreshes. On a push tests/tasks/publishing/test_breaker.py opens the breaker
@pytest.mark.nightly
def test_a_broken_model_opens_the_breaker(
    cli: Any, inbox: Any, tmp_path: Path, configured: Callable[[str], Path]
) -> None:
    model, store = tiny_encoder(tmp_path / "hubert"), tmp_path / "store"
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(b"no weights" * 100)
    config = configured(
        plain(f'[content]\nengine = "encoder"\nmodel = "{model}"\nlayer = 2\n[publish]\nmin_minutes = 0\n')
    )
    options = ("--inbox", inbox.root, "--store", store, "--config", config)
    ran = cli("refresh", *options, "--json", status=2)
    assert ran.out == ""
    assert ran.err.startswith("voicemill: nothing was published: ")
    assert "of the seconds are failed; of a first version may be 20% at most (publish.max_failed_first)" in ran.err
    assert "stage_error by stage content" in ran.err
    assert "one of 6 failed uploads: ann/0.wav: " in ran.err
    assert "SafetensorError" in ran.err
    assert "Traceback" not in ran.err
    assert numbers(store) == []
    forced = cli.refresh(inbox.root, store, "--config", config, "--force-publish")
    assert forced["uploads"] == {"failed": 6}
    (model / "model.safetensors").write_bytes(weights)
    mended = cli.refresh(inbox.root, store, "--config", config)
    assert (mended["uploads"], mended["failures"]) == ({"prepared": 6}, {})
    assert (seconds(mended, "mel"), seconds(mended, "content")) == (0.0, seconds(mended, "shards"))


# nightly: four refreshes of six batches each. On a push a stage raises in the set "push" above
@pytest.mark.nightly
def test_a_full_disk_fails_the_affected_batches(
    cli: Any, inbox: Any, tmp_path: Path, configured: Callable[[str], Path], undisturbed: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    config = configured(plain("[batches]\nminutes = 0.05\n"))  # each upload is a batch of its own
    nothing = cli("refresh", "--inbox", inbox.root, "--store", store, "--config", config, status=2, **limited(3_000))
    assert nothing.err.startswith("voicemill: ")
    assert "File too large" in nothing.err
    assert "Traceback" not in nothing.err
    assert numbers(store) == []

    longest = 800_000  # bytes, less than the samples of one upload
    first = cli.refresh(inbox.root, store, "--config", config, **limited(longest))
    assert (first["published"], first["uploads"]) == (True, {"failed": 1, "prepared": 5})
    (error,) = first["failures"].values()
    assert "File too large" in error
    again = cli.refresh(inbox.root, store, "--config", config, **limited(longest))
    assert (again["published"], again["failures"], again["batches_run"]) == (False, first["failures"], 1)
    mended = cli.refresh(inbox.root, store, "--config", config)
    assert (mended["uploads"], mended["broken"]) == ({"prepared": 6}, {})
    found = differences(contents(store), undisturbed)
    assert {line.split()[0] for line in found} <= {"uploads"}  # rows of uploads name their batches, which differ here
    assert strays(store) == []


def test_two_refreshes_at_once(alone: Any, inbox: Any, database: Path, tmp_path: Path) -> None:
    store, marker = with_database(tmp_path / "store", database), tmp_path / "marker"
    waits = environment(fault("slice", "wait", inbox.root / "ann" / "0.wav", marker))
    options = ("refresh", "--inbox", inbox.root, "--store", store, "--json")
    with alone.start(*options, **waits) as first:
        until(marker)
        refused = alone(*options, status=2)
        assert "is held by refresh" in refused.err
        assert f"(process {first.pid})" in refused.err
        assert "--wait" in refused.err
        assert "Traceback" not in refused.err
        with alone.start(*options, "--wait") as second:
            until_open(second.pid, store / ".lock")
            Path(f"{marker}.go").touch()
            out, err = first.communicate(timeout=300)
            assert (first.returncode, err) == (0, "")
            assert '"published": true' in out
            out, err = second.communicate(timeout=300)
            assert (second.returncode, err) == (0, "")
            assert '"published": false' in out
    assert numbers(store) == [1]
    assert processes(store) == []


def until_open(pid: int, path: Path) -> None:
    """Wait until a process has a file open."""
    end = time.monotonic() + 300
    while not any(os.path.realpath(fd) == str(path) for fd in Path(f"/proc/{pid}/fd").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_worker_killed_from_outside_costs_nothing(
    cli: Any, inbox: Any, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    store, marker = tmp_path / "store", tmp_path / "marker"
    waits = environment(fault("mel", "wait", inbox.root / "ann" / "0.wav", marker))
    with cli.start("refresh", "--inbox", inbox.root, "--store", store, "--json", **waits) as refresh:
        until(marker)
        Path(f"{marker}.go").touch()
        for worker in workers(refresh.pid):
            os.kill(worker, signal.SIGKILL)
        out, err = refresh.communicate(timeout=300)
    assert (refresh.returncode, err) == (0, "")
    assert '"failures": {}' in out
    assert differences(contents(store), undisturbed) == []


def workers(pid: int) -> list[int]:
    """Worker processes of a refresh."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    found = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert found
    return found


def test_ctrl_c_ends_everything_and_the_next_refresh_resumes(alone: Any, inbox: Any, tmp_path: Path) -> None:
    store, marker = tmp_path / "store", tmp_path / "marker"
    waits = environment(fault("mel", "wait", inbox.root / "ann" / "0.wav", marker))
    with alone.start("refresh", "--inbox", inbox.root, "--store", store, **waits) as refresh:
        until(marker)
        began = time.monotonic()
        os.killpg(refresh.pid, signal.SIGINT)  # to the whole process group, as a terminal sends it
        _, err = refresh.communicate(timeout=120)
        took = time.monotonic() - began
    assert refresh.returncode == 130
    assert "Traceback" not in err
    assert took < 20, f"{took:.1f} s"
    assert processes(store) == []
    outputs = (path for path in Store.open(store).stages.glob("*/*.arrow") if ".audio" not in path.name)
    done = {path.parent.name for path in outputs}
    summary = alone.refresh(inbox.root, store)
    assert summary["published"]
    assert {"decode", "slice", "denoise", "loudness"} <= done
    assert {name for name, count in summary["stages"].items() if count["skipped"]} == done
    assert processes(store) == []
