"""Repair of a damaged store: what can be made again is, and what cannot is named.

| damage | repair |
|---|---|
| one flipped bit in a sealed file of up to 16 KiB (logs, consents, cards) | flipped back, as its seal states |
| stage outputs, listings, phones, reports, graphs | deleted: they are made again when they are needed |
| store.json; checkpoints of a log; torn commits at its end | written again; deleted; as after a power cut |
| shards of the latest version | set aside: the next refresh makes them again, from the cache or from the inbox |
| files without a seal, lines of seals that are none | sealed as they are; left out |

Anything else is lost: it is named, and stays as it is for a backup to replace. Versions keep their numbers.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from voicemill.storage import seals
from voicemill.storage.checking.check import check, read_mark, unsealed_files
from voicemill.storage.checking.damage import CheckResult, Damage
from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.artifacts import audio_path
from voicemill.storage.corpus.recovery import recover
from voicemill.storage.errors import StoreError
from voicemill.storage.files import put, temporary_path, write_json, write_text
from voicemill.storage.flushing import locked_file
from voicemill.storage.seals import Seal
from voicemill.storage.store import FORMAT, Store

MOST_BYTES = 16_384
"""Largest file in which a flipped bit is looked for: 131,072 digests, about 3 s."""
ASIDE = ".damaged"
"""Suffix of a shard that is set aside; the next publish deletes it."""


def repair(store: Store) -> CheckResult:
    """Check a store, repair it, and check it again. The caller holds the store's lock."""
    repaired = list(_write_mark(store))
    damage = check(store).damage
    repaired += [*_flip_back(store, damage), *_drop_caches(store, damage), *_drop_checkpoints(store, damage)]
    repaired += _recover_logs(store)
    aside, lost = _set_shards_aside(store, damage)
    repaired += [*aside, *_seal_anew(store)]
    after = check(store)
    made_later = {item.path for item in aside}
    after.damage = [item for item in after.damage if item.path not in made_later]
    after.repaired = repaired
    after.lost = [lost.get(item.path, f"{item.path} {item.problem}") for item in after.damage]
    return after


def _write_mark(store: Store) -> Iterator[Damage]:
    if read_mark(store) != {"format": FORMAT}:
        write_json(store.root / "store.json", {"format": FORMAT})
        yield Damage("store.json", "was written again")


def _flip_back(store: Store, damage: Iterable[Damage]) -> Iterator[Damage]:
    """Undo single flipped bits of small files."""
    known, files = seals.read(store.root).of, seals.sealable_files(store.root)
    names = {path.relative_to(store.root).as_posix(): name for name, path in files.items()}
    for path in sorted({item.path for item in damage} & names.keys()):
        file, states = store.root / path, known.get(names[path], [])
        if file.stat().st_size > MOST_BYTES or Seal.of(file) in states:
            continue
        data = file.read_bytes()
        if whole := next((found for state in reversed(states) if (found := _without_flip(data, state))), None):
            temporary = temporary_path(file)
            temporary.write_bytes(whole)
            put(temporary, file)
            yield Damage(path, "had one flipped bit, which was flipped back")


def _without_flip(data: bytes, state: Seal) -> bytes | None:
    """The bytes with one bit flipped that match a seal; None where there are none."""
    raw = bytearray(data if len(data) == state.size else b"")
    for at in range(len(raw)):
        for bit in range(8):
            raw[at] ^= 1 << bit
            if hashlib.sha256(raw).hexdigest() == state.sha256:
                return bytes(raw)
            raw[at] ^= 1 << bit
    return None


def _drop_caches(store: Store, damage: Iterable[Damage]) -> Iterator[Damage]:
    for path in sorted({item.path for item in damage}):
        file, name = store.root / path, seals.sealed_path(PurePosixPath(path))
        cached = path.startswith("stages/") or (name is not None and seals.may_be_missing(name))
        if not cached or not file.is_file() or file.name == seals.FILE:
            continue
        rows = file.with_name(file.name.removesuffix(".audio.arrow") + ".arrow")
        for part in {file, rows, audio_path(file)} if file.suffix == ".arrow" else {file}:
            part.unlink(missing_ok=True)
        yield Damage(path, "was deleted: it is made again when it is needed")


def _drop_checkpoints(store: Store, damage: Iterable[Damage]) -> Iterator[Damage]:
    """Delete all checkpoints of a log with a damaged one: they repeat the log."""
    named = ((store.root / item.path) for item in damage if "/_delta_log/" in item.path)
    for log in sorted({path.parent for path in named if "checkpoint" in path.name}):
        doomed = sorted(log.glob("*checkpoint*"))
        for path in doomed:
            path.unlink()
        seals.lift({*doomed, log / "_last_checkpoint"})
        lifted = [store.root / item.path for item in damage if (store.root / item.path).parent == log]
        seals.lift(path for path in lifted if "checkpoint" in path.name)
        yield Damage(log.relative_to(store.root).as_posix(), "lost its checkpoints, which only repeat it")


def _recover_logs(store: Store) -> Iterator[Damage]:
    try:
        paths = recover(store)
    except StoreError:
        return  # the last check says what is lost
    yield from (Damage(path.relative_to(store.root).as_posix(), "was dropped or written again") for path in paths)


def _set_shards_aside(store: Store, damage: Iterable[Damage]) -> tuple[list[Damage], dict[str, str]]:
    """Rename the damaged shards of the latest version, so that a refresh misses them.

    Returns them, and of the others path -> the loss: the versions that lack their rows.
    """
    try:
        history = versions.history(store)
    except StoreError:
        return [], {}
    aside: list[Damage] = []
    lost: dict[str, str] = {}
    for path in sorted({item.path for item in damage if _is_shard(item.path)}):
        table, folder, name = path.removeprefix("tables/").rsplit("/", 2)
        users = [
            (version.number, active[f"{folder}/{name}"].speaker)
            for version in history
            if f"{folder}/{name}" in (active := tables.active(store, table, version.pins.get(table, -1)))
        ]
        if users and users[-1][0] == history[-1].number:
            if (file := store.root / path).exists():
                file.rename(file.with_name(f"{name}{ASIDE}"))
            aside.append(Damage(path, "is made again by the next `voicemill refresh`, from the cache or the inbox"))
        elif users:
            numbers = ", ".join(str(number) for number, _ in users)
            lost[path] = f"{path}: rows of {users[0][1]} in versions {numbers}; the latest version has others"
    return aside, lost


def _is_shard(path: str) -> bool:
    inside = path.startswith("tables/") and not path.startswith("tables/versions/") and "_delta_log" not in path
    return inside and path.endswith(".parquet")


def _seal_anew(store: Store) -> Iterator[Damage]:
    """Write the seals anew: those that there are, new ones of files without, none of caches that are gone."""
    known, files = seals.read(store.root), seals.sealable_files(store.root)
    unsealed = {name: path for name, path in files.items() if not known.of.get(name)}
    if not known.problems and not unsealed_files(known, files):
        return
    of = {name: states for name, states in known.of.items() if states and (name in files or name in known.present)}
    actual = {name: Seal.of(path) for name, path in files.items()}
    of |= {name: [state] for name, state in actual.items() if name in unsealed or state in of[name]}
    for log in {store.root / seals.FILE, *seals.logs_of(store.root)}:
        with locked_file(log):
            write_text(log, seals.text_of(log, of, {name for name in of if not seals.may_be_missing(name)}))
    yield Damage(seals.FILE, f"was written again; {len(unsealed)} files without a seal are sealed as they are")
