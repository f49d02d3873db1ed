"""Check of a whole store: each of its files against the seals, the logs, the cards, and what it must hold.

| what | by what a changed bit is found |
|---|---|
| shards, downloads | the digest in the name |
| logs, rows of versions, all that people decided, cards of voices, reports, cache | seals |
| weights of a voice | the digests in its card |
| the server's folder, working folders of trainings | not looked at: they hold history, no part of a version or voice |

Nothing is changed. Cost: reading and hashing the store, 2.1 s of processor time for 1.6 GB in 1,038 files.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.storage import seals
from voicemill.storage.checking import tables as table_checks
from voicemill.storage.checking.damage import CheckResult, Findings
from voicemill.storage.corpus import deltalog
from voicemill.storage.corpus.artifacts import complete_artifact
from voicemill.storage.errors import StoreDamaged, StoreError
from voicemill.storage.files import read_loose
from voicemill.storage.forgetting import held_voices, tombstones
from voicemill.storage.forgetting.receipts import receipts
from voicemill.storage.keys import file_digest
from voicemill.storage.seals import Seal
from voicemill.storage.store import FORMAT, Store
from voicemill.storage.voices.cards import CARD, read_card
from voicemill.storage.voices.status import read_status


def check(store: Store) -> CheckResult:
    """Check everything in a store. The caller holds the store's lock."""
    findings = Findings(store)
    if read_mark(store) != {"format": FORMAT}:
        findings.report(store.root / "store.json", f'does not hold {{"format": {FORMAT}}}')
    read = check_seals(findings)
    shards = table_checks.published_files(findings)
    table_checks.check_shards(findings, shards)
    table_checks.check_rows(findings)
    _check_cache(findings)
    _check_records(findings)
    _check_voices(findings)
    return CheckResult(files=read + len(shards), size=sum(shards.values()), damage=findings.damage)


def require_whole(store: Store) -> None:
    """Check everything in a store, for a command that begins only on a whole one. The caller holds the store's lock.

    Raises:
        StoreDamaged: something is damaged; names the first file and the number of all problems.
    """
    damage = check(store).damage
    if damage:
        others = f" ({len(damage)} problems in all)" if len(damage) > 1 else ""
        raise StoreDamaged(store.root / damage[0].path, f"{damage[0].problem}{others}")


def read_mark(store: Store) -> object:
    """Content of store.json; None where it is missing or holds no JSON."""
    mark = store.root / "store.json"
    return read_loose(mark) if mark.is_file() else None


def check_seals(findings: Findings) -> int:
    """Compare all files with their seals; returns the number of files."""
    store = findings.store
    known, files = seals.read(store.root), seals.sealable_files(store.root)
    for path, problem in known.problems:
        findings.report(path, problem)
    if unsealed := unsealed_files(known, files):
        first = unsealed[0].relative_to(store.root)
        findings.report(
            store.root / seals.FILE,
            f"lacks {len(unsealed)} files, the first is {first}: it lost them, or they are older",
        )
    for name, states in known.of.items():
        if states and name in files and Seal.of(files[name]) not in states:
            problem = "is empty" if not files[name].stat().st_size else "has other bytes than its seal states"
            findings.report(files[name], problem)
        elif states and name not in files and name in known.present:
            findings.report(store.root / _plain(store, name), "is missing")
    return len(files)


def unsealed_files(known: seals.Seals, files: Mapping[str, Path]) -> list[Path]:
    """Files without a seal, but for caches and for commits of a process that was killed before it sealed them."""
    return [
        path
        for name, path in files.items()
        if not known.of.get(name) and not seals.may_be_missing(name) and not _is_new_commit(path)
    ]


def _is_new_commit(path: Path) -> bool:
    """Whether a file is one of the last commits of a log, or a checkpoint of it."""
    if path.parent.name != "_delta_log":
        return False
    commits = sorted(item.name for item in path.parent.glob("*.json"))
    return path.name in commits[-deltalog.TAIL :] or path.suffix != ".json"


def _plain(store: Store, name: str) -> str:
    """Path of a sealed file, with the name of its voice where that has a folder yet."""
    parts = name.split("/")
    for at in (at for at, part in enumerate(parts) if part.startswith("#")):
        folder = store.root.joinpath(*parts[:at])
        for path in folder.iterdir() if folder.is_dir() else ():
            sealed = seals.sealed_path(PurePosixPath(*parts[:at], path.name, "file"))
            if sealed and sealed.split("/")[at] == parts[at]:
                parts[at] = path.name
    return "/".join(parts)


def _check_cache(findings: Findings) -> None:
    """Outputs of stages whose footers cannot be read, also without seals; downloads with other bytes."""
    stages = findings.store.stages
    for path in sorted(stages.rglob("*")) if stages.is_dir() else ():
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(stages).parts):
            continue
        whole = True
        if path.name.endswith(".audio.arrow"):
            whole = True  # its rows, which are written last, are asked
        elif path.suffix == ".arrow":
            whole = complete_artifact(path) is not None
        elif path.suffix == ".json":
            whole = read_loose(path) is not None
        elif path.suffix == ".parquet":
            whole = _has_footer(path)
        elif path.parent.name == "inbox":
            whole = file_digest(path) == path.name
        if not whole:
            findings.report(path, "is incomplete")


def _has_footer(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _check_records(findings: Findings) -> None:
    """Files of records that a command reads whole: an error of reading one is damage."""
    store = findings.store
    marks = sorted(store.root.glob("forgetting-*.json"))
    for path in marks:
        whole = isinstance(read_loose(path), dict)
        findings.report(path, "is of an interrupted erasure: forget that speaker again" if whole else "holds no JSON")
    for path, read in (
        (store.root / "tombstones.json", tombstones.read),
        (store.root / held_voices.FILE, held_voices.read),
        (store.receipts, receipts),
    ):
        try:
            read(store)
        except StoreError as error:
            findings.report(getattr(error, "path", path), getattr(error, "problem", str(error)))
    for path in [store.root / "consents.jsonl", *sorted((store.root / "votes").rglob("*.jsonl"))]:
        for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), 1):
            try:
                json.loads(line)
            except ValueError:
                findings.report(path, f"line {number} holds no JSON")


def _check_voices(findings: Findings) -> None:
    """Weights against the digests in the cards; cards and changes of status that cannot be read."""
    store = findings.store
    for voice in sorted(path for path in store.models.glob("[!.]*") if path.is_dir()) if store.models.is_dir() else ():
        try:
            read_status(voice)
        except StoreError as error:
            findings.report(getattr(error, "path", voice), getattr(error, "problem", str(error)))
        for card in sorted(voice.glob(f"[0-9]*/{CARD}")):
            try:
                sums = read_card(card).files
            except StoreError as error:
                findings.report(card, getattr(error, "problem", str(error)))
                continue
            for name, sha256 in sums.items():
                path = card.parent / name
                if not path.is_file() or file_digest(path) != sha256:
                    findings.report(path, "has other bytes than the card states" if path.is_file() else "is missing")
