"""The phones of every utterance, computed once for a shard and kept beside it: rows in its order, zipped, never joined.

`<store>/stages/phones/<speaker folder>/<key>.parquet`, where the key is of the shard's bytes and of everything that
phones come from: a changed front end, or a language that was installed since, gives another one. Safe to delete;
forgetting a speaker deletes the speaker's folder. Cost: 1 to 2 ms a sentence, once.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from model.text import frontend
from model.text.frontend import ALIASES, LANGUAGES, guess, phonemes
from model.text.symbols import PAUSES, PUNCTUATION, SYMBOLS, UNKNOWN
from storage.erase import phones_folder
from storage.errors import ConfigError
from storage.keys import digest, file_digest
from storage.store import Store, replacing
from storage.tables import File

SILENT = frozenset({*PUNCTUATION, *PAUSES, UNKNOWN})
"""Phones that are no sound."""
_SCHEMA = pa.schema([("verdict", pa.string()), ("count", pa.int32()), ("phones", pa.list_(pa.int16()))])


def ensure(store: Store, file: File, texts: Sequence[str], languages: Sequence[str]) -> Path:
    """The phones of a shard of utterances, made where they are missing. Texts and languages are those of its rows.

    Columns: verdict ("" or a value of `model.data.index.LeftOut`), count of phones, phones (rows of the embedding).
    """
    folder = phones_folder(store, file.speaker)
    path = folder / f"{digest([Path(file.path).stem, _front_end()])[:32]}.parquet"
    if not path.exists():
        rows = [_said(text, language) for text, language in zip(texts, languages, strict=True)]
        verdicts, ids = [verdict for verdict, _ in rows], [ids for _, ids in rows]
        table = pa.table([verdicts, [len(found) for found in ids], ids], schema=_SCHEMA)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return path


def _said(text: str, language: str) -> tuple[str, list[int]]:
    if not text.strip():
        return "no_text", []
    name = ALIASES.get(language, language) or guess(text)
    if name not in spoken():
        return "language", []
    found = phonemes(text, name)
    if found.unknown:
        return "unsayable", []
    if SILENT.issuperset(found.phones):
        return "no_phones", []
    return "", found.ids.tolist()


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
    """The digest of what phones come from: the source of the front end, its symbols, the languages installed here."""
    sources = sorted(Path(frontend.__file__).parent.glob("*.py"))
    return digest([[(path.name, file_digest(path)) for path in sources], SYMBOLS, sorted(spoken())])
