"""Stores at paths with characters that delta-rs decodes: the same rows and logs as anywhere else."""

import tempfile
from pathlib import Path

import pytest
from support import factories as f

from voicemill.storage.checking.check import check
from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.delta_root import delta_root
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store

NAMES = ["a%20b/%41%2F/%2e%2e", "x\\y", "tab\tline\n/100%25 100% ü #%20 日本 ?&*:;[x]"]


def rows(root: Path) -> list[object]:
    """Rows of two versions and the logs of all tables, after a publish each and a forget between."""
    store = Store.open(root, create=True)
    first, second = f.make_batch(1, f.upload("ann")), f.make_batch(2, f.upload("bob"))
    f.corpus(store, [first, second])
    forget_speaker(store, "bob", created=f.WHEN)
    f.corpus(store, [first, f.make_batch(3, f.upload("cid"))])
    assert check(store).damage == []
    read = [CorpusVersion.open(store, number).utterances().to_pylist() for number in (1, 2)]
    logs = [(name, tables.head(store, name)) for name in tables.names(store)]
    return [*read, *logs, len(versions.history(store))]


def test_a_store_works_whatever_its_path(tmp_path: Path) -> None:
    expected = rows(tmp_path / "plain")
    before = set(Path(tempfile.gettempdir()).glob("voicemill-table-*"))
    for number, name in enumerate(NAMES):
        assert rows(tmp_path / str(number) / name) == expected, name
        assert [path.name for path in (tmp_path / str(number)).iterdir()] == [name.split("/")[0]], name
    assert set(Path(tempfile.gettempdir()).glob("voicemill-table-*")) <= before


@pytest.mark.parametrize("name", ["a%20b", "x\\y"])
def test_a_checkpoint_is_written_beside_its_log(tmp_path: Path, name: str) -> None:
    from deltalake import DeltaTable

    store = Store.open(tmp_path / name, create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"), f.upload("bob"))])
    root = tables.folder(store, "utterances")
    with delta_root(root) as address:
        DeltaTable(address).create_checkpoint()
    assert list((root / "_delta_log").glob("*.checkpoint.parquet"))
    forget_speaker(store, "bob", created=f.WHEN)  # writes the checkpoint again without the name
    assert {row["speaker"] for row in CorpusVersion.open(store, 1).utterances().to_pylist()} == {"ann"}
