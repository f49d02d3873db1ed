"""The phones of every utterance, computed once for each shard and cached: rows in the order of the shard.

The cache also holds the frame ranges of aligned utterances (`voicemill.model.data.bounds`).

`<store>/stages/phones/<speaker folder>/<key>.parquet`, where the key digests the shard's bytes, the version of the
front end, the languages installed and the version of this module: a changed front end, or a newly installed
language, gives another key. Safe to delete; forgetting a speaker deletes the speaker's folder. Cost: 1 to 2 ms a
sentence, once.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.model.data.bounds import bounds_of
from voicemill.model.data.minibatch import CONTENT_RATE
from voicemill.model.text.frontend import Phonemes, language_of, phonemes
from voicemill.model.text.languages import installed_languages
from voicemill.model.text.symbols import PAUSES, PUNCTUATION, UNKNOWN
from voicemill.model.text.versions import phones_version
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.tables import File
from voicemill.storage.files import whole_file
from voicemill.storage.forgetting.erase import phones_folder
from voicemill.storage.keys import digest
from voicemill.storage.records import Word
from voicemill.storage.store import Store
from voicemill.storage.units import RATE, Samples

VERSION = 2
"""Version of the columns and their meaning; 2 added the bounds."""
HOP = RATE // CONTENT_RATE
SILENT = frozenset({*PUNCTUATION, *PAUSES, UNKNOWN})
"""Phones without sound."""
_SCHEMA = pa.schema(
    [
        ("verdict", pa.string()),
        ("count", pa.int32()),
        ("placed", pa.bool_()),
        ("phones", pa.list_(pa.int16())),
        ("bounds", pa.list_(pa.int32())),
    ]
)


def ensure_phones(store: Store, file: File, texts: Sequence[str], languages: Sequence[str]) -> Path:
    """Return the file with the phones of a shard, and write it where it is missing.

    Texts and languages are those of its rows. Columns: verdict ("" or a value of `model.data.index.LeftOut`), count
    (number of phones), placed (whether the times of their words are known), phones (rows of the embedding), bounds
    (earliest frame of each phone and the frame after its latest, alternating; empty where not placed).
    """
    folder = phones_folder(store, file.speaker)
    installed = installed_languages()
    path = folder / f"{digest([Path(file.path).stem, phones_version(), sorted(installed), VERSION])[:32]}.parquet"
    if not _complete(path):
        ((_, aligned),) = tables.read(store, "utterances", [file], ["start", "stop", "words"])
        rows = []
        for text, language, row in zip(texts, languages, aligned.to_pylist(), strict=True):
            verdict, reading = _read(text, language, installed)
            ids = reading.ids.tolist() if reading else []
            words = [Word(**word) for word in row["words"] or ()]
            bounds = _bounds(reading, words, row["start"], row["stop"]) if reading else []
            rows.append((verdict, len(ids), bool(bounds), ids, bounds))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _SCHEMA]
        table = pa.table(columns, schema=_SCHEMA)
        with whole_file(path, durable=False) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return path


def _complete(path: Path) -> bool:
    """Whether the footer of the file can be read: it is a cache, and a power cut may have emptied it."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _bounds(reading: Phonemes, words: Sequence[Word], start: Samples, stop: Samples) -> list[int]:
    bounds = bounds_of(reading, words, start, (stop - start) // HOP, HOP) if words else None
    return [] if bounds is None else bounds.ravel().tolist()


def _read(text: str, language: str, installed: frozenset[str]) -> tuple[str, Phonemes | None]:
    if not text.strip():
        return "no_text", None
    name = language_of(text, language)
    if name not in installed:
        return "language", None
    reading = phonemes(text, name)
    if reading.unknown:
        return "unsayable", None
    if SILENT.issuperset(reading.phones):
        return "no_phones", None
    return "", reading
