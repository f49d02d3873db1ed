"""batches: groups of uploads, formed once: the unit of stages, keys and shards.

Method: new uploads in order of (speaker, path), up to a number of minutes by their headers; a longer upload is a batch
of its own. The id is a digest of the members, so the same uploads give the same batch. The members are stored in
`<store>/stages/batches/<number>-<id>.json` (digests only), which can be rebuilt from the table `uploads`. An upload
that leaves the inbox leaves its batch, and returns to its place if it comes back.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.files import read_loose, write_json
from voicemill.storage.keys import digest
from voicemill.storage.records import Batch, Upload
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.stage import StageSettings


class Settings(StageSettings):
    """Size of new batches; existing ones stay as they are."""

    minutes: float = Field(20.0, gt=0, le=240)
    """Minutes of audio in a batch, up to 240. Default: stages run 10 s or more, and shards have tens of megabytes."""


@dataclass(frozen=True)
class RegisteredBatch:
    """A batch with all members that it was formed of, whether or not they are still in the inbox."""

    id: str
    number: int
    uploads: tuple[str, ...]
    """sha256 of the members, in order."""


def form_batches(
    store: Store, uploads: Iterable[Upload], known: Iterable[UploadRow], settings: Settings
) -> list[Batch]:
    """Batches of all uploads of the inbox, by number: existing ones, and new ones for new uploads.

    Args:
        known: uploads of the last version; batches whose file is lost are rebuilt from them.

    New batches are stored before this returns. Batches without an upload in the inbox are not returned.
    """
    formed = registry(store, known)
    present = {upload.sha256: upload for upload in uploads}
    assigned = {sha256 for batch in formed for sha256 in batch.uploads}
    number = max((batch.number for batch in formed), default=0)
    for group in _groups(
        [upload for sha256, upload in present.items() if sha256 not in assigned], settings.minutes * 60
    ):
        number += 1
        members = tuple(upload.sha256 for upload in group)
        formed.append(RegisteredBatch(digest(sorted(members))[:16], number, members))
        _write(store, formed[-1])
    batches = [
        Batch(b.id, b.number, tuple(present[sha256] for sha256 in b.uploads if sha256 in present)) for b in formed
    ]
    return [batch for batch in batches if batch.uploads]


def registry(store: Store, known: Iterable[UploadRow] = ()) -> list[RegisteredBatch]:
    """All batches formed so far, by number; every upload is in one of them."""
    batches: dict[str, RegisteredBatch] = {}
    for path in (store.stages / "batches").glob("[0-9]*.json"):
        raw = read_loose(path)
        if isinstance(raw, dict):  # of a damaged one the rows of its uploads say what it held; else it is formed again
            batches[raw["id"]] = RegisteredBatch(raw["id"], raw["number"], tuple(raw["uploads"]))
    lost: dict[tuple[str, int], list[UploadRow]] = defaultdict(list)
    for row in known:
        if row.batch and row.batch not in batches:
            lost[row.batch, row.batch_number].append(row)
    for (id_, number), rows in lost.items():
        members = tuple(row.sha256 for row in sorted(rows, key=lambda row: (row.speaker, row.path)))
        batches[id_] = RegisteredBatch(id_, number, members)
        _write(store, batches[id_])
    return sorted(batches.values(), key=lambda batch: batch.number)


def _groups(uploads: list[Upload], longest: Seconds) -> list[list[Upload]]:
    groups: list[list[Upload]] = []
    filled = longest
    for upload in sorted(uploads, key=lambda upload: (upload.speaker, upload.path)):
        if not groups or filled + upload.seconds > longest:
            groups.append([])
            filled = 0.0
        groups[-1].append(upload)
        filled += upload.seconds
    return groups


def _write(store: Store, batch: RegisteredBatch) -> None:
    path = store.stages / "batches" / f"{batch.number:06}-{batch.id}.json"
    raw = {"id": batch.id, "number": batch.number, "uploads": batch.uploads}
    write_json(path, raw)
