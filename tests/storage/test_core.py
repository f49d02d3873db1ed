"""Records as tables, keys, the store's folder and lock."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.storage.corpus import tensors
from voicemill.storage.corpus.rows import from_table, schema_of, to_table
from voicemill.storage.corpus.table_rows import FeatureRow, LedgerRow, UploadRow, Utterance
from voicemill.storage.errors import StoreBusy, StoreError
from voicemill.storage.keys import digest, file_digest, folder_digest
from voicemill.storage.outcomes import LedgerInterval, Reason
from voicemill.storage.records import Aligned, Decoded, Screened, Segment, Transcript, Upload, Word
from voicemill.storage.store import Store
from voicemill.storage.units import to_samples, to_seconds

RECORDS = (
    Upload,
    LedgerInterval,
    Decoded,
    Segment,
    Screened,
    Transcript,
    Aligned,
    UploadRow,
    Utterance,
    LedgerRow,
    FeatureRow,
)


def records(record: type) -> st.SearchStrategy[tuple[type, list[object]]]:
    """Lists of a record with any values that Arrow can hold."""
    plain = {int: st.integers(-(2**63), 2**63 - 1), float: st.floats(allow_nan=False), str: st.text(max_size=8)}
    words = st.builds(Word, **{name: plain[hint] for name, hint in get_type_hints(Word).items()})
    hints = get_type_hints(record).items()
    optional = st.none() | plain[float]
    known = plain | {tuple[Word, ...]: st.lists(words, max_size=2).map(tuple), float | None: optional}
    one = st.builds(record, **{name: known[hint] for name, hint in hints if hint in known})
    return st.lists(one, max_size=3).map(lambda rows: (record, rows))


@given(st.sampled_from(RECORDS).flatmap(records))
def test_every_record_survives_the_table(case: tuple[type, list[object]]) -> None:
    record, rows = case
    table = to_table(rows, record)
    assert table.schema == schema_of(record)
    assert from_table(table, record) == rows


def test_schema_is_the_annotations() -> None:
    assert schema_of(Segment) == pa.schema(
        [
            ("upload", pa.string()),
            ("index", pa.int64()),
            ("start", pa.int64()),
            ("stop", pa.int64()),
            ("outcome", pa.string()),
            ("reason", pa.string()),
            ("voice", pa.string()),
        ]
    )


@given(st.lists(st.floats(-60000, 60000, width=16), max_size=60))
def test_tensors_round_trip(values: list[float]) -> None:
    array = np.array(values, np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(tensors.decode(tensors.encode(array), len(array), 1), array)


def test_readme_reads_features_with_numpy_alone() -> None:
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(np.frombuffer(tensors.encode(array), "<f2").reshape(3, 2), array)


def test_digest_ignores_the_order_of_names_and_nothing_else(tmp_path: Path) -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len({digest(value) for value in ({"a": 1}, {"a": 1.5}, {"a": "1"}, ["a", 1], {"a": [1]})}) == 5
    with pytest.raises(ValueError, match="JSON"):
        digest(float("nan"))
    (tmp_path / "x").write_bytes(b"1")
    before = folder_digest(tmp_path)
    (tmp_path / "x").write_bytes(b"2")
    assert folder_digest(tmp_path) != before
    assert file_digest(tmp_path / "x") == "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"


@given(st.integers(0, 10**9))
def test_samples_to_seconds_and_back(samples: int) -> None:
    assert to_samples(to_seconds(samples)) == samples


def test_a_reason_explains_itself() -> None:
    assert Reason("clipped") is Reason.CLIPPED
    assert all(len(reason.meaning) > 20 for reason in Reason)
    assert f"{Reason.CLIPPED}" == "clipped"


def test_opening_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="voicemill refresh"):
        Store.open(tmp_path / "s")
    assert Store.open(tmp_path / "s", create=True) == Store.open(tmp_path / "s")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    with pytest.raises(StoreError, match="not empty"):
        Store.open(tmp_path / "other", create=True)
    (tmp_path / "s" / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        Store.open(tmp_path / "s")


def test_lock_names_its_holder_and_is_freed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", create=True)
    with store.locked("refresh one"), pytest.raises(StoreBusy, match="refresh one"), store.locked("refresh two"):
        pass
    with store.locked("refresh two"):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", create=True)
    code = (
        "import sys, time; from voicemill.storage.store import Store\n"
        "with Store.open(sys.argv[1]).locked('the dead'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(StoreBusy, match="the dead"), store.locked("me"):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with store.locked("me"):
        pass
