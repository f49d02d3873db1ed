"""Rows of the table `uploads`: what a duplicate says of the uploads before it."""

from dataclasses import replace

from support import factories as f

from voicemill.flows.upload_rows import with_originals
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.outcomes import Reason, Repeat, UploadState
from voicemill.tasks.intake.admission import excluded_row


def row(number: int, speaker: str = "ann", detail: str = "") -> UploadRow:
    upload = replace(f.upload(speaker, number), path=f"{speaker}/{number}.wav")
    return replace(excluded_row(upload, UploadState.PREPARED, detail), batch="1", pcm=f"pcm {speaker} {number}")


def test_an_upload_names_those_before_it_by_their_present_paths() -> None:
    first, second = row(0), row(1, detail="of 2 audio tracks number 1 was taken")
    second = replace(second, repeats=(Repeat(0, 32_000, first.sha256, 0), Repeat(64_000, 80_000, first.sha256, 9)))
    twin = replace(row(2), pcm=first.pcm, state=UploadState.DUPLICATE, reason=Reason.DUPLICATE.value)
    rows = [first, second, twin]
    for _ in range(2):  # rows of unchanged batches come again
        rows = list(with_originals(rows))
        assert [made.detail for made in rows] == [
            "",
            "of 2 audio tracks number 1 was taken; heard before: 1.5 s are in ann/0.wav",
            "same samples as ann/0.wav",
        ]
    renamed = list(with_originals([replace(first, path="ann/new.wav"), *rows[1:]]))
    assert renamed[1].detail.endswith("1.5 s are in ann/new.wav")
    assert renamed[2].detail == "same samples as ann/new.wav"
    (alone,) = with_originals([rows[1]])
    assert alone.detail == "of 2 audio tracks number 1 was taken"


def test_no_row_names_another_speakers_upload() -> None:
    first = row(0, "zoe")
    near = replace(row(1), repeats=(Repeat(0, 32_000, first.sha256, 0),))
    twin = replace(row(2), pcm=first.pcm, state=UploadState.DUPLICATE, reason=Reason.DUPLICATE.value)
    assert not any("zoe" in made.detail for made in with_originals([first, near, twin]))
