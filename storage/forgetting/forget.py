"""Forgetting a speaker: rows and bytes go out of everything that the store holds, in an order that bears any kill.

1. What belongs to the speaker is written down (`<store>/forgetting-*.json`); another run picks it up from there.
2. Tombstones: sha256 of the bytes and of the decoded samples, so that no refresh brings the recordings back.
3. Tables: a commit takes the files out of the head, the log forgets that they ever were (old versions then read
   without the speaker), and the folders are deleted.
4. The stage cache of every batch with an upload of theirs, in whatever recipe; the memory of the scan; all reports,
   which are made again; evaluations on what held the speaker; quarantined and fetched copies; the working folders of
   trainings, whose samples can be heard; on request the files in the inbox.
5. The receipt, which names voices, and nobody: it holds a salted hash, by which a name can be checked against it.

Others who shared a batch lose cached stage outputs, never rows: their audio is prepared again at the next refresh.
Voices that learned from the speaker are retired before anything else: they no longer speak unless that is allowed by
name. Their files stay, and are listed. So are files that still hold the name: consents, and the history of runs.
"""

import hashlib
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from voicemill.storage.corpus import deltalog, tables, versions
from voicemill.storage.errors import StoreError
from voicemill.storage.files import erase_folder, read_json, read_loose, write_json
from voicemill.storage.forgetting import tombstones
from voicemill.storage.forgetting.erase import (
    Traces,
    erase_cache,
    erase_copies,
    erase_evaluations,
    erase_inbox,
    erase_trainings,
    mentions,
    objects,
    read_arrow,
)
from voicemill.storage.store import Store
from voicemill.storage.voices import learned as learned_


@dataclass(frozen=True)
class Receipt:
    """What was forgotten. It holds no name but those of voices."""

    created: str
    """ISO 8601."""
    salt: str
    who: str
    """sha256 (hex) of the salt and the speaker's name."""
    uploads: int
    rows: dict[str, int]
    """Table -> rows of the latest version."""
    files: int
    """Shards deleted, of all versions."""
    size: int
    """Their bytes."""
    versions: tuple[int, ...]
    """Corpus versions that held the speaker; they read without now."""
    models: tuple[str, ...]
    """Models that learned from them, directly or from another model: retired, where they are entries of voices."""
    retrain: tuple[str, ...] = ()
    """Voices of others that lost their champion or all that they had, with the lane: "base/trained"."""
    inbox: tuple[str, ...] = ()
    """Files deleted in the inbox."""
    mentions: tuple[str, ...] = ()
    """Files that still hold the name (never audio, features or text): consents, history of runs, inbox metadata."""

    def matches(self, speaker: str) -> bool:
        """Whether this is the receipt of that speaker."""
        return self.who == _hash(self.salt, speaker)


def pending(store: Store) -> list[str]:
    """Speakers whose forgetting was interrupted: forget them again to complete it."""
    return sorted(read_json(path)["speaker"] for path in store.root.glob("forgetting-*.json"))


def receipts(store: Store) -> list[Receipt]:
    """All receipts, oldest first."""
    return [_receipt(read_json(path)) for path in sorted(store.receipts.glob("*.json"))]


def forgotten(store: Store) -> frozenset[int]:
    """Corpus versions that held somebody who was forgotten, or whose forgetting was interrupted.

    They read without those, so two trainings on one of them would not see the same: nothing trains on them again.
    """
    return frozenset(number for receipt in _begun(store) for number in receipt.versions)


def _begun(store: Store) -> list[Receipt]:
    """Those of all forgettings, also of the one that goes on now. The marks are read first: a mark goes after its
    receipt is there, so what ends meanwhile is found as either."""
    marks = [raw for path in store.root.glob("forgetting-*.json") if (raw := read_json(path)) is not None]
    return [*(_receipt(raw["receipt"]) for raw in marks), *receipts(store)]


def retire_learned(store: Store, model: str, *, when: str) -> bool:
    """Retire an entry, "anna/0004", that was made of somebody's speech while they were being forgotten.

    To be called by whoever has just written it: its training may have begun before. Whether it was retired now.
    """
    for receipt in _begun(store):
        if model in learned_.learned(store, receipt.versions, receipt.matches):
            return bool(learned_.retire(store, [model], when=when))
    return False


def forget(store: Store, speaker: str, *, created: str, inbox: Path | None = None) -> Receipt:
    """Remove a speaker from the store, and from a local inbox if it is given. May be repeated after a kill.

    Raises:
        StoreError: nothing is known of this speaker.
        StoreBusy: a refresh holds the store.
    """
    with store.locked(f"forget (started {created})"):
        mark = store.root / f"forgetting-{tables.folder_of(speaker)[-12:]}.json"
        traces, receipt = gather(store, speaker), None
        if (raw := read_json(mark)) is not None:
            traces |= Traces(speaker, *(frozenset(raw[name]) for name in ("content", "pcm", "sizes")))
            receipt = _receipt(raw["receipt"])
        elif not traces.content:
            raise StoreError(
                f"nothing is known of a speaker {speaker!r} in {store.root}; `voicemill ledger --by speaker` names all"
            )
        receipt = receipt or _draft(store, traces, created)
        _note(mark, traces, receipt)
        receipt = _collected(store, receipt, speaker)  # whoever adds a model from here on sees the mark
        _note(mark, traces, receipt)
        learned_.retire(store, receipt.models, when=created)
        tombstones.bury(store, traces.content, traces.pcm)
        for table in tables.names(store):
            _erase_table(store, table, speaker)
        erase_cache(store, traces)
        erase_copies(store, traces)
        erase_trainings(store, receipt.versions)
        erase_evaluations(store, forgotten(store))  # with what one that was killed left of another forgetting
        erase_folder(store.reports)
        if inbox is not None:
            for file in erase_inbox(inbox, traces):
                receipt = replace(receipt, inbox=(*receipt.inbox, file))
                _note(mark, traces, receipt)
        receipt = replace(receipt, mentions=tuple(mentions(store, traces, inbox)))
        name = f"{receipt.created.replace(':', '')}-{receipt.who[:12]}.json"
        write_json(store.receipts / name, asdict(receipt), indent=1)
        mark.unlink()
        return receipt


def gather(store: Store, speaker: str) -> Traces:
    """Everything that belongs to the speaker: from the shards of all versions, the batches, the cache."""
    content: set[str] = set()
    pcm: set[str] = set()
    sizes: set[int] = set()
    for path in _shards(store, speaker):
        found = set(pq.read_schema(path).names)
        rows = pq.ParquetFile(path).read(columns=sorted(found & {"sha256", "upload", "pcm", "size"}), use_threads=False)
        for name, into in (("sha256", content), ("upload", content), ("pcm", pcm), ("size", sizes)):
            into |= set(rows[name].to_pylist()) if name in found else set()
    for path in store.stages.rglob("*.json"):
        for upload in objects(read_loose(path)):
            if upload.get("speaker") == speaker and "sha256" in upload:
                content.add(str(upload["sha256"]))
                sizes.add(int(upload.get("size", 0)))
    for path in (store.stages / "decode").glob("*.arrow"):
        if not path.name.endswith(".audio.arrow"):
            rows = read_arrow(path).select(["upload", "pcm"]).to_pylist()
            pcm |= {row["pcm"] for row in rows if row["upload"] in content}
    return Traces(speaker, frozenset(content), frozenset(pcm - {""}), frozenset(sizes))


def _draft(store: Store, traces: Traces, created: str) -> Receipt:
    """The receipt, as far as it is known before anything is gone; the models are not."""
    files, used, salt = _shards(store, traces.speaker), _used_by(store, traces.speaker), secrets.token_hex(16)
    head = {table: tables.active(store, table).values() for table in tables.names(store)}
    return Receipt(
        created=created,
        salt=salt,
        who=_hash(salt, traces.speaker),
        uploads=len(traces.content),
        rows={table: sum(f.rows for f in found if f.speaker == traces.speaker) for table, found in head.items()},
        files=len(files),
        size=sum(path.stat().st_size for path in files),
        versions=used,
        models=(),
    )


def _collected(store: Store, receipt: Receipt, speaker: str) -> Receipt:
    """With the models that learned from the speaker, beside those that are known from before a kill."""
    models = learned_.learned(store, receipt.versions, speaker.__eq__)
    retrain = learned_.to_retrain(store, models, speaker.__eq__)
    return replace(
        receipt,
        models=tuple(sorted({*receipt.models, *models})),
        retrain=tuple(sorted({*receipt.retrain, *retrain})),
    )


def _shards(store: Store, speaker: str) -> list[Path]:
    """All Parquet files of the speaker, in any version or none."""
    folder = tables.folder_of(speaker)
    return [path for name in tables.names(store) for path in (store.tables / name / folder).glob("*.parquet")]


def _used_by(store: Store, speaker: str) -> tuple[int, ...]:
    """Corpus versions with an utterance of the speaker."""
    states = deltalog.replay(tables.folder(store, "utterances"))
    held = {n for n, live in enumerate(states) if any(_owner(add) == speaker for add in live.values())}
    return tuple(v.number for v in versions.history(store) if v.pins.get("utterances") in held)


def _erase_table(store: Store, table: str, speaker: str) -> None:
    root, folder = tables.folder(store, table), tables.folder_of(speaker)
    if tables.head(store, table) >= 0:
        tables.commit(store, table, [f for f in tables.active(store, table).values() if f.speaker != speaker])
        deltalog.erase(root, lambda action: _owner(action) == speaker or action["path"].startswith(f"{folder}/"))
    erase_folder(root / folder)


def _owner(action: dict[str, Any]) -> str | None:
    value: str | None = (action.get("partitionValues") or {}).get("speaker")
    return value


def _hash(salt: str, speaker: str) -> str:
    return hashlib.sha256(f"{salt}{speaker}".encode("utf-8", "surrogatepass")).hexdigest()


def _note(mark: Path, traces: Traces, receipt: Receipt) -> None:
    sets = {name: sorted(getattr(traces, name)) for name in ("content", "pcm", "sizes")}
    write_json(mark, {"speaker": traces.speaker, "receipt": asdict(receipt), **sets})


def _receipt(raw: dict[str, Any]) -> Receipt:
    lists = {name: tuple(raw.get(name, ())) for name in ("versions", "models", "retrain", "inbox", "mentions")}
    return Receipt(**{**raw, **lists})
