"""The checks of `voicemill doctor`: each tells what it found and what fixes it."""

import importlib.metadata
import os
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voicemill.flows.service.environment import check_limits, proxies
from voicemill.model.embedded import EMBEDDED
from voicemill.storage.errors import MachineError, ModelMissing, VoicemillError
from voicemill.storage.filesystem import free_inodes, what_is_missing
from voicemill.storage.store import Store


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report; `doctor --json` prints the fields under these names."""

    name: str
    found: str
    """State of the machine, in words."""
    fine: bool = True
    mend: str = ""
    """Remedy, in words; "" where nothing is wrong."""


PINNED = {"prefect": ((3, 8), (3, 9)), "fastapi": ((0, 139), (0, 151)), "sqlalchemy": ((2, 0), (2, 1))}
"""Versions, lower bound included, upper excluded: outside of them the Prefect server fails silently."""

NEEDED = ("torch", "torchaudio", "whisperx", "librosa", "deltalake", "pyarrow", "soundfile", "av", "webrtcvad-wheels")


def run_checks(store: Path | None) -> Iterator[Check]:
    """Run all checks, the cheapest first; `store` is checked too."""
    python = sys.version_info
    yield Check(
        "python",
        ".".join(map(str, python[:3])),
        (3, 11) <= python[:2] <= (3, 13),
        "voicemill runs on Python 3.11 to 3.13: `make clean && make demo PYTHON=python3.12`",
    )
    yield from _packages()
    yield _embedded_models()
    cores = len(os.sched_getaffinity(0))
    yield Check("cores", str(cores))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    yield Check("memory", f"{memory:.1f} GB", memory >= 2 * cores, "provide 2 GB for each worker, or lower run.workers")
    place = store or Path.cwd()
    free, files = _free_gb(place), free_inodes(_existing(place))
    enough, mend = free >= 2 and files >= 10_000, "free 2 GB and 10,000 files, or move the store to another disk"
    room = f"{free:.0f} GB" + (f" and {files:,} files" if files < 10**6 else "")
    yield Check("disk", f"{room} free at {place}", enough, mend)
    yield _limits()
    yield _file_system(place)
    yield _proxy()
    yield _server()
    if store is not None:
        yield _store(store)


def _limits() -> Check:
    """Whether the shell lets a process open enough files and reserve enough addresses."""
    try:
        check_limits()
    except MachineError as error:
        return Check("limits", "too low for a refresh", False, str(error))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Check("limits", f"{files} open files", files >= 256, "raise `ulimit -n` to 1024: many workers need more")


def _packages() -> Iterator[Check]:
    mend = "install the locked set: `pip install --require-hashes -r requirements.lock`"
    for name, (low, high) in PINNED.items():
        version = _version(name)
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        yield Check(name, version or "missing", low <= numbers < high, mend)
    missing = [name for name in NEEDED if not _version(name)]
    yield Check("other packages", f"missing: {', '.join(missing)}" if missing else "all installed", not missing, mend)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _embedded_models() -> Check:
    """Whether every embedded model is installed, byte by byte; the digests of unchanged files are remembered."""
    wrong, mend = [], ""
    for model in EMBEDDED.values():
        try:
            for name in model.files:
                model.path(name)
        except ModelMissing as error:
            wrong.append(model.name)
            mend = mend or str(error)
    return Check("embedded models", f"missing: {', '.join(wrong)}" if wrong else ", ".join(EMBEDDED), not wrong, mend)


def _proxy() -> Check:
    """Which proxies the environment names: what is downloaded comes through them, and loopback is asked without."""
    try:
        found = proxies()
    except MachineError as error:
        return Check("proxy", "one that no client can use", False, str(error))
    words = ", ".join(f"{name}={address}" for name, address in found.items())
    return Check("proxy", f"{words}; servers of this machine are asked without it" if words else "none")


def _server() -> Check:
    from voicemill.flows.service.client import check_server

    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("prefect server", "private, on loopback (PREFECT_API_URL is not set)")
    try:
        check_server(url)
    except VoicemillError as error:
        return Check("prefect server", url, False, str(error))
    return Check("prefect server", url)


def _store(path: Path) -> Check:
    from voicemill.storage.checking.check import require_whole
    from voicemill.storage.corpus import versions

    try:
        store = Store.open(path)
        with store.locked("doctor"):
            last = versions.latest(store)
            require_whole(store)
    except VoicemillError as error:
        return Check("store", str(path), False, str(error))
    return Check("store", f"{path}: " + (f"corpus version {last.number}" if last else "no corpus version yet"))


def _file_system(place: Path) -> Check:
    """Whether the file system of the store has the locks and the hard links that keep two writers apart."""
    folder = _existing(place)
    if not os.access(folder, os.W_OK):
        return Check("file system", f"{folder} cannot be written", False, "give the folder to this user: `chown`")
    if missing := what_is_missing(folder):
        mend = "put the store on a local disk, on NFS 4, or on another file system with locks and hard links"
        return Check("file system", f"{folder} lacks {missing}", False, mend)
    return Check("file system", f"locks and hard links at {folder}")


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _free_gb(path: Path) -> float:
    path = _existing(path)
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize / 1e9
