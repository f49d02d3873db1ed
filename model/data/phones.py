"""The phones of every utterance, computed once for a shard and kept beside it: rows in its order, zipped, never joined.
Beside them the frames of their words, where the utterance was aligned (`voicemill.model.data.bounds`).

`<store>/stages/phones/<speaker folder>/<key>.parquet`, where the key is of the shard's bytes, of everything that
phones come from and of the version of this module: a changed front end, or a language that was installed since, gives
another one. Safe to delete; forgetting a speaker deletes the speaker's folder. Cost: 1 to 2 ms a sentence, once.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.model.data.batch import CONTENT_RATE
from voicemill.model.data.bounds import bounds_of
from voicemill.model.text.frontend import ALIASES, LANGUAGES, Phonemes, guess, phonemes
from voicemill.model.text.symbols import PAUSES, PUNCTUATION, SYMBOLS, UNKNOWN
from voicemill.model.text.versions import VERSIONS
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.tables import File
from voicemill.storage.errors import ConfigError
from voicemill.storage.files import replacing
from voicemill.storage.forgetting.erase import phones_folder
from voicemill.storage.keys import digest
from voicemill.storage.records import Word
from voicemill.storage.store import Store
from voicemill.storage.units import RATE, Samples

VERSION = 2
"""Of the columns and of what they mean; 2 added the bounds."""
HOP = RATE // CONTENT_RATE
SILENT = frozenset({*PUNCTUATION, *PAUSES, UNKNOWN})
"""Phones that are no sound."""
_SCHEMA = pa.schema(
    [
        ("verdict", pa.string()),
        ("count", pa.int32()),
        ("placed", pa.bool_()),
        ("phones", pa.list_(pa.int16())),
        ("bounds", pa.list_(pa.int32())),
    ]
)


def ensure(store: Store, file: File, texts: Sequence[str], languages: Sequence[str]) -> Path:
    """The phones of a shard of utterances, made where they are missing. Texts and languages are those of its rows.

    Columns: verdict ("" or a value of `model.data.index.LeftOut`), count of phones, placed (whether the times of their
    words are known), phones (rows of the embedding), bounds (earliest frame of each phone and the one after its latest
    in turn; none where it is not placed).
    """
    folder = phones_folder(store, file.speaker)
    path = folder / f"{digest([Path(file.path).stem, _front_end(), VERSION])[:32]}.parquet"
    if not path.exists():
        ((_, aligned),) = tables.read(store, "utterances", [file], ["start", "stop", "words"])
        rows = []
        for text, language, row in zip(texts, languages, aligned.to_pylist(), strict=True):
            verdict, found = _said(text, language)
            ids = found.ids.tolist() if found else []
            words = [Word(**word) for word in row["words"] or ()]
            bounds = _bounds(found, words, row["start"], row["stop"]) if found else []
            rows.append((verdict, len(ids), bool(bounds), ids, bounds))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _SCHEMA]
        table = pa.table(columns, schema=_SCHEMA)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return path


def _bounds(found: Phonemes, words: Sequence[Word], start: Samples, stop: Samples) -> list[int]:
    bounds = bounds_of(found, words, start, (stop - start) // HOP, HOP) if words else None
    return [] if bounds is None else bounds.ravel().tolist()


def _said(text: str, language: str) -> tuple[str, Phonemes | None]:
    if not text.strip():
        return "no_text", None
    name = ALIASES.get(language, language) or guess(text)
    if name not in spoken():
        return "language", None
    found = phonemes(text, name)
    if found.unknown:
        return "unsayable", None
    if SILENT.issuperset(found.phones):
        return "no_phones", None
    return "", found


@cache
def spoken() -> frozenset[str]:
    """The languages whose phones can be had here: some need an extra."""
    samples = {"zh": "好", "en": "good", "ja": "あ", "ko": "가", "yue": "好"}
    return frozenset(name for name in LANGUAGES if name in samples and _speaks(name, samples[name]))


def _speaks(name: str, sample: str) -> bool:
    try:
        return bool(phonemes(sample, name).phones)
    except ConfigError:
        return False


@cache
def _front_end() -> str:
    """Digest of what phones depend on beside the text: the versions of the front end, its symbols, the languages
    installed here."""
    return digest([dict(VERSIONS), SYMBOLS, sorted(spoken())])
