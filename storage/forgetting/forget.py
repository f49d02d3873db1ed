"""Forgetting a speaker: rows and bytes leave everything that the store holds, in an order that survives any kill.

1. What belongs to the speaker is written down (`<store>/forgetting-*.json`); another run continues from there.
2. Voices trained on the speaker's speech are retired before anything else: they no longer speak unless that is allowed
   by name. Their files stay, and are listed.
3. Tombstones: sha256 of the bytes and of the decoded samples, so that no refresh brings the recordings back.
4. Tables: a commit takes the files out of the head, their lines leave the log (old versions then read without the
   speaker), and the folders are deleted.
5. The stage cache of every batch with an upload of the speaker, in whatever recipe; the listing cache of the scan; all
   reports, which are made again; evaluations on corpus versions with the speaker; quarantined and fetched copies; the
   working folders of trainings, which hold audio samples; on request the files in the inbox.
6. The receipt, when all that was deleted is flushed to the disk. It names no person: it holds a salted hash, by which a
   name or a file of the inbox can be checked against it, and lists the files that still hold the name.

Speakers who shared a batch lose cached stage outputs, never rows: their audio is prepared again at the next refresh.
"""

import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from voicemill.storage.corpus import deltalog, tables, versions
from voicemill.storage.corpus.recovery import recover
from voicemill.storage.corpus.sweeping import compact_seals
from voicemill.storage.errors import StoreError
from voicemill.storage.files import erase_folder, read_json, read_loose, write_json
from voicemill.storage.flushing import sync, sync_folders
from voicemill.storage.forgetting import held_voices, tombstones
from voicemill.storage.forgetting.erase import (
    Traces,
    erase_cache,
    erase_copies,
    erase_evaluations,
    erase_trainings,
    json_objects,
    read_arrow,
    read_shard,
)
from voicemill.storage.forgetting.mentions import remaining_mentions
from voicemill.storage.forgetting.receipts import Receipt, all_receipts, forgotten_versions, read_receipt, salted_hash
from voicemill.storage.inbox import erasure
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.inbox.names import offer, speaker_name
from voicemill.storage.store import Store
from voicemill.storage.voices.lineage import lanes_to_retrain, models_trained_on, retire_models


def evaluation_folder(store: Store, version: int) -> Path:
    """Folder with the speech and pages of evaluations on a corpus version; forgetting erases it with all reports."""
    return store.reports / f"version-{version}"


def erase_leftover_evaluations(store: Store) -> None:
    """Erase the output of evaluations that were killed while a speaker of their corpus version was forgotten.

    No evaluation runs on such a version again, so whatever names one is a leftover. May run beside anything.

    Raises:
        StoreError: a part of it remains.
    """
    numbers = forgotten_versions(store)
    for version in sorted(numbers):
        erase_folder(evaluation_folder(store, version))
    if numbers:
        erase_evaluations(store, numbers, unknown=False)


def retire_if_forgotten(store: Store, model: str, *, when: str) -> bool:
    """Retire an entry, "anna/0004", if a speaker of its training was forgotten meanwhile; True if it was retired now.

    To be called after an entry is written: its training may have begun before the forgetting.
    """
    for receipt in all_receipts(store):
        if model in models_trained_on(store, receipt.versions, receipt.matches):
            return bool(retire_models(store, [model], when=when))
    return False


def forget_speaker(
    store: Store, speaker: str, *, created: str, inbox: str | Path | None = None, wait: bool = False
) -> Receipt:
    """Remove a speaker from the store, and from a local inbox if it is given. May be repeated after a kill.

    Raises:
        StoreError: the store and the inbox hold nothing of this speaker; the nearest names are offered.
        StoreDamaged: a published shard of the speaker cannot be read.
        StoreBusy: a refresh holds the store.
        InboxError: the inbox is not a folder on this machine, or cannot be read.
    """
    marks = filter(None, map(read_json, store.root.glob("forgetting-*.json")))
    name, stored = speaker_name(speaker), stored_speakers(store) | {raw["speaker"] for raw in marks}
    older = sorted(other for other in stored if speaker_name(other) == name != other)  # from before names had one form
    *others, last = [*older, name] if name in stored or not older else older
    for spelling in others:
        _forget(store, spelling, created=created, inbox=None, wait=wait)
    return _forget(store, last, created=created, inbox=inbox, wait=wait)


def stored_speakers(store: Store) -> set[str]:
    """Names of all speakers with a row in any version of any table, held ones included."""
    logs = (deltalog.replay(tables.folder(store, name)) for name in tables.names(store))
    return {owner for states in logs for live in states for add in live.values() if (owner := _owner(add))}


def _forget(store: Store, speaker: str, *, created: str, inbox: str | Path | None, wait: bool) -> Receipt:
    box = erasure.local_inbox(inbox) if inbox is not None else None
    with store.locked(f"forget (started {created})", wait=wait):
        store.drop_temporaries()
        recover(store)
        mark = store.root / f"forgetting-{tables.folder_of(speaker)[-12:]}.json"
        traces, receipt = collect_traces(store, speaker), None
        if box is not None:
            own = erasure.uploads_of(box, speaker_name(speaker))  # not in any version yet, held, or added since
            traces |= Traces(speaker=speaker, content=own.content, pcm=frozenset(), sizes=own.sizes)
        if (raw := read_json(mark)) is not None:
            traces |= Traces(speaker, **{name: frozenset(raw[name]) for name in ("content", "pcm", "sizes")})
            receipt = read_receipt(mark, raw["receipt"])
        known = erasure.Bytes(traces.content, traces.sizes)
        if not (receipt or traces.content or (box and erasure.plan_erasure(box, speaker_name(speaker), known).paths)):
            raise StoreError(
                f"{store.root} holds nothing of a speaker {speaker!r}{f', nor does {box.url}' if box else ''}"
                f"{_nearest(store, speaker, box)}: `voicemill ledger --by speaker` lists all names"
            )
        receipt = receipt or _draft(store, traces, created)
        _note(mark, traces, receipt)
        receipt = _with_models(store, receipt, speaker)  # entries that are added from here on see the mark
        _note(mark, traces, receipt)
        retire_models(store, receipt.models, when=created)
        tombstones.add(store, traces.content, traces.pcm)
        held_voices.anonymise(store, speaker)
        for table in tables.names(store):
            _erase_table(store, table, speaker)
        erase_cache(store, traces)
        erase_copies(store, traces)
        erase_trainings(store, receipt.versions)
        erase_evaluations(store, forgotten_versions(store))  # and leftovers of other forgettings
        erase_folder(store.reports)
        if box is not None:
            plan = erasure.plan_erasure(box, speaker_name(speaker), known)
            receipt = replace(receipt, inbox=tuple(dict.fromkeys((*receipt.inbox, *plan.paths))))
            _note(mark, traces, receipt)
            plan.carry_out(receipt.inbox)
        compact_seals(store)
        receipt = replace(receipt, mentions=tuple(remaining_mentions(store, speaker, box.root if box else None)))
        sync_folders(store.root, *((box.root,) if box else ()))
        path = store.receipts / f"{receipt.created.replace(':', '')}-{receipt.who[:12]}.json"
        write_json(path, asdict(receipt.sealed(speaker)), indent=1)
        sync(store.root, without=mark)  # a kill has no moment between the two
        return receipt


def _nearest(store: Store, speaker: str, box: Inbox | None) -> str:
    """Phrase that offers the nearest names of the store and the inbox."""
    names = stored_speakers(store)
    return offer(speaker, names | (erasure.speakers_of(box) if box else set()))


def collect_traces(store: Store, speaker: str) -> Traces:
    """Identifiers of all that belongs to the speaker: from the shards of all versions, the batches, the cache."""
    content, pcm, sizes = set[str](), set[str](), set[int]()
    for path in _shards(store, speaker):
        rows = read_shard(path, {"sha256", "upload", "pcm", "size"})
        for name, values in (("sha256", content), ("upload", content), ("pcm", pcm), ("size", sizes)):
            values |= set(rows.get(name, ()))
    for path in store.stages.rglob("*.json"):
        for upload in json_objects(read_loose(path)):
            if upload.get("speaker") == speaker and "sha256" in upload:
                content.add(str(upload["sha256"]))
                sizes.add(int(upload.get("size", 0)))
    for path in (store.stages / "decode").glob("*.arrow"):
        if not path.name.endswith(".audio.arrow"):
            decoded = read_arrow(path)
            found = decoded.select(["upload", "pcm"]).to_pylist() if decoded is not None else []
            pcm |= {row["pcm"] for row in found if row["upload"] in content}
    return Traces(speaker=speaker, content=frozenset(content), pcm=frozenset(pcm - {""}), sizes=frozenset(sizes))


def _draft(store: Store, traces: Traces, created: str) -> Receipt:
    """The receipt as far as it is known before anything is erased; without the models."""
    speaker, files, salt = traces.speaker, _shards(store, traces.speaker), secrets.token_hex(16)
    active = {table: tables.active(store, table).values() for table in tables.names(store)}
    return Receipt(
        created=created,
        salt=salt,
        who=salted_hash(salt, speaker),
        uploads=len(traces.content),
        rows={table: sum(file.rows for file in shards if file.speaker == speaker) for table, shards in active.items()},
        files=len(files),
        size=sum(path.stat().st_size for path in files),
        versions=_versions_with(store, speaker),
        models=(),
    )


def _with_models(store: Store, receipt: Receipt, speaker: str) -> Receipt:
    """The receipt with the models trained on the speaker, added to those noted before a kill."""
    models = models_trained_on(store, receipt.versions, speaker.__eq__)
    retrain = lanes_to_retrain(store, models, speaker.__eq__)
    return replace(
        receipt,
        models=tuple(sorted({*receipt.models, *models})),
        retrain=tuple(sorted({*receipt.retrain, *retrain})),
    )


def _shards(store: Store, speaker: str) -> list[Path]:
    """All Parquet files of the speaker, in any version or none."""
    folder = tables.folder_of(speaker)
    return [path for name in tables.names(store) for path in (store.tables / name / folder).glob("*.parquet")]


def _versions_with(store: Store, speaker: str) -> tuple[int, ...]:
    """Numbers of the corpus versions with an utterance of the speaker."""
    states = deltalog.replay(tables.folder(store, "utterances"))
    commits = {n for n, live in enumerate(states) if any(_owner(add) == speaker for add in live.values())}
    return tuple(v.number for v in versions.history(store) if v.pins.get("utterances") in commits)


def _erase_table(store: Store, table: str, speaker: str) -> None:
    root, folder = tables.folder(store, table), tables.folder_of(speaker)
    if tables.head(store, table) >= 0:
        tables.commit(store, table, [f for f in tables.active(store, table).values() if f.speaker != speaker])
        deltalog.erase(root, lambda action: _owner(action) == speaker or action["path"].startswith(f"{folder}/"))
    erase_folder(root / folder)


def _owner(action: dict[str, Any]) -> str | None:
    value: str | None = (action.get("partitionValues") or {}).get("speaker")
    return value


def _note(mark: Path, traces: Traces, receipt: Receipt) -> None:
    sets = {name: sorted(getattr(traces, name)) for name in ("content", "pcm", "sizes")}
    write_json(mark, {"speaker": traces.speaker, "receipt": asdict(receipt), **sets})
