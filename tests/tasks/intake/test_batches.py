"""Batches: formed once, never formed again."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.power_cuts import CUTS, cut

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.outcomes import UploadState
from voicemill.storage.records import Batch, Upload
from voicemill.storage.store import Store
from voicemill.tasks.intake.batches import Settings, form_batches


def upload(name: int, seconds: float = 300.0, speaker: str = "anna") -> Upload:
    return Upload(f"{name:064x}", speaker, f"{speaker}/{name:04}.wav", 1, seconds=seconds)


def rows_of(batches: list[Batch]) -> list[UploadRow]:
    return [
        UploadRow(
            sha256=u.sha256,
            speaker=u.speaker,
            path=u.path,
            size=1,
            codec="",
            rate=0,
            channels=0,
            samples=0,
            seconds=0.0,
            language="",
            consent="",
            state=UploadState.PREPARED,
            reason="",
            detail="",
            batch=b.id,
            batch_number=b.number,
            pcm="",
        )
        for b in batches
        for u in b.uploads
    ]


def shape(batches: list[Batch]) -> list[tuple[int, str, list[str]]]:
    return [(batch.number, batch.id, [u.sha256 for u in batch.uploads]) for batch in batches]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_up_to_twenty_minutes_and_a_longer_upload_alone(store: Store) -> None:
    uploads = [upload(1), upload(2), upload(3), upload(4), upload(5), upload(6, 4000.0), upload(7)]
    batches = form_batches(store, uploads, (), Settings())
    assert [[int(u.sha256, 16) for u in batch.uploads] for batch in batches] == [[1, 2, 3, 4], [5], [6], [7]]
    assert [batch.number for batch in batches] == [1, 2, 3, 4]


def test_new_uploads_leave_old_batches_alone(store: Store) -> None:
    first = form_batches(store, [upload(2), upload(4)], (), Settings())
    second = form_batches(store, [upload(n) for n in (1, 2, 3, 4)], rows_of(first), Settings(minutes=100))
    assert shape(second)[:1] == shape(first)
    assert [int(u.sha256, 16) for u in second[1].uploads] == [1, 3]


def test_an_upload_that_is_gone_leaves_and_comes_back(store: Store) -> None:
    whole = form_batches(store, [upload(1), upload(2)], (), Settings())
    (less,) = form_batches(store, [upload(2)], rows_of(whole), Settings())
    assert (less.id, less.number, len(less.uploads)) == (whole[0].id, 1, 1)
    assert form_batches(store, [], rows_of(whole), Settings()) == []
    assert [batch.number for batch in form_batches(store, [upload(9)], (), Settings())] == [2]
    assert shape(form_batches(store, [upload(1), upload(2)], (), Settings())) == shape(whole)


@pytest.mark.parametrize("damage", CUTS)
def test_a_damaged_record_of_a_batch_is_written_again(store: Store, damage: str) -> None:
    formed = form_batches(store, [upload(1), upload(2)], (), Settings())
    (path,) = (store.stages / "batches").iterdir()
    raw = path.read_bytes()
    for rows in ((), rows_of(formed)):  # not published yet, and published
        cut(path, damage)
        assert shape(form_batches(store, [upload(1), upload(2)], rows, Settings())) == shape(formed)
        assert path.read_bytes() == raw


def test_what_is_known_of_an_upload_is_what_the_inbox_says_now(store: Store) -> None:
    form_batches(store, [upload(1)], (), Settings())
    moved = replace(upload(1), speaker="bob", path="bob/x.wav", text="hello")
    assert form_batches(store, [moved], (), Settings())[0].uploads == (moved,)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.floats(0, 2000), st.sampled_from(["anna", "bob"])), unique_by=lambda t: t[0]
    ),
    st.floats(0, 1),
    st.data(),
)
def test_every_upload_is_in_one_batch_whatever_comes_in_which_order(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[int, float, str]], share: float, data: st.DataObject
) -> None:
    store = Store.open(tmp_path_factory.mktemp("batches"), create=True)
    other = Store.open(tmp_path_factory.mktemp("rebuilt"), create=True)
    uploads = [upload(*item) for item in items]
    early = uploads[: round(share * len(uploads))]
    before = form_batches(store, early, (), Settings())
    after = form_batches(store, data.draw(st.permutations(uploads)), rows_of(before), Settings())
    assert sorted(u.sha256 for batch in after for u in batch.uploads) == sorted(u.sha256 for u in uploads)
    assert shape(after)[: len(before)] == shape(before)
    assert all(batch.seconds <= 1200 or len(batch.uploads) == 1 for batch in after)
    assert len({batch.id for batch in after}) == len({batch.number for batch in after}) == len(after)
    assert shape(form_batches(other, uploads, rows_of(after), Settings())) == shape(after)
