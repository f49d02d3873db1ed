"""Comparison of a batch with its speakers' first batches: who is judged, by whom, and what a wrong month changes."""

from pathlib import Path

import numpy as np
import pytest

from voicemill.model.speaker.comparison import unit
from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Batch, Upload, Voice
from voicemill.tasks.contract.stage import Enrolment, Inputs, RunContext
from voicemill.tasks.contract.voices import compare_voices
from voicemill.tasks.enrolment import enrolling_batches
from voicemill.tasks.stages.mel import feature_row


def voice(
    upload: str, index: int, seed: int, seconds: float = 6.0, outcome: Outcome = Outcome.KEPT, name: str = ""
) -> Voice:
    """A segment of the voice `seed`; `name`: that of its turn in an upload with several people."""
    centre = np.abs(np.random.default_rng(seed).normal(size=256))
    spread = np.random.default_rng([seed, index, len(upload)]).normal(size=256)
    feature = feature_row(upload, index, unit((centre + 0.3 * spread).astype(np.float32))[None])
    return Voice(
        upload=upload,
        index=index,
        frames=1,
        dims=256,
        data=feature.data,
        seconds=seconds,
        margin=0.12,
        change=0.1,
        voice=name,
        outcome=outcome,
    )


def written(folder: Path, key: str, rows: list[Voice]) -> Artifact:
    with ArtifactWriter(folder / f"{key}.arrow") as writer:
        return writer.finish(rows, Voice, ArtifactMeta("speaker", key))


def batch_of(number: int, uploads: dict[str, str], seconds: float = 30.0) -> Batch:
    return Batch(
        f"b{number}", number, tuple(Upload(u, who, f"{who}/{u}", 1, seconds=seconds) for u, who in uploads.items())
    )


def similarities(folder: Path, first: list[Voice], later: list[Voice]) -> dict[tuple[str, int], bool]:
    """Segment of the later batch -> whether it is of another speaker; all uploads are ann's."""
    enrolment = Enrolment("ann", "one", tuple(sorted({row.upload for row in first})))
    voices = {"one": written(folder, "one", first)}
    batch = batch_of(2, {row.upload: "ann" for row in later})
    with Inputs(batch, {"speaker": written(folder, "two", later)}) as inputs:
        found = compare_voices(inputs, RunContext(enrolments=(enrolment,), voices=voices))
    return {name: similarity.is_other for name, similarity in found.items()}


def test_a_month_of_wrong_recordings_is_no_reference_of_its_own(tmp_path: Path) -> None:
    first = [voice("a", index, 1) for index in range(5)]
    later = [voice("w", index, 2) for index in range(20)] + [voice("r", 0, 1)]
    expected = {("w", index): True for index in range(20)} | {("r", 0): False}
    assert similarities(tmp_path, first, later) == expected


def test_a_wrong_upload_of_the_enrolling_batch_is_found_by_the_others(tmp_path: Path) -> None:
    rows = [voice("a", index, 1) for index in range(5)] + [voice("w", 0, 2)]
    enrolment = Enrolment("ann", "one", ("a", "w"))
    with Inputs(batch_of(1, {"a": "ann", "w": "ann"}), {"speaker": written(tmp_path, "one", rows)}) as inputs:
        voices = {"one": inputs.artifacts["speaker"]}
        found = compare_voices(inputs, RunContext(enrolments=(enrolment,), voices=voices))
    assert [similarity.is_other for similarity in found.values()] == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("count", "seconds", "judged"), [(5, 6.0, True), (4, 5.0, True), (3, 6.0, False), (8, 2.0, False)]
)
def test_nobody_is_judged_by_too_little_speech(tmp_path: Path, count: int, seconds: float, judged: bool) -> None:
    first = [voice("a", index, 1, seconds) for index in range(count)]
    assert bool(similarities(tmp_path, first, [voice("w", 0, 2)])) is judged


def test_segments_with_two_voices_enrol_nobody(tmp_path: Path) -> None:
    first = [voice("a", index, 1, outcome=Outcome.FILTERED) for index in range(9)]
    assert similarities(tmp_path, first, [voice("w", 0, 2)]) == {}


def test_each_voice_of_a_mixed_upload_is_compared_with_the_plain_recordings(tmp_path: Path) -> None:
    """One segment of another person in the speaker's cluster is found alone; one of the speaker's in theirs is lost."""
    own = [voice("m", index, 1, name="1") for index in range(4)] + [voice("m", 4, 2, name="1")]
    other = [voice("m", index, 2, name="2") for index in range(5, 9)] + [voice("m", 9, 1, 2.0, name="2")]
    plain = [voice("a", index, 1) for index in range(5)]
    expected = {("m", index): index > 3 for index in range(10)}
    assert similarities(tmp_path, plain, own + other) == expected
    # the mixed upload in the enrolling batch, longer than the plain ones: it does not move the reference
    assert similarities(tmp_path, [*plain, *own, *other, *other], own + other) == expected


def test_voices_are_unknown_without_enough_plain_recordings(tmp_path: Path) -> None:
    mixed = [voice("m", index, 1 + index % 2, name=str(1 + index % 2)) for index in range(12)]
    assert similarities(tmp_path, mixed, mixed) == {}
    most = [voice("m", index, 2, name="1") for index in range(8)] + [voice("m", 8, 1, name="2")]
    assert similarities(tmp_path, [voice("a", 0, 1), *most], most) == {}  # the plain one is not the voice of the most
    assert similarities(tmp_path, [voice("a", 0, 2), *most], most) == {("m", index): index == 8 for index in range(9)}


def test_a_folder_of_mixed_uploads_alone_is_the_person_who_speaks_most(tmp_path: Path) -> None:
    mixed = [voice("m", index, 1, name="1") for index in range(8)]
    mixed += [voice("m", index, 2, name="2") for index in range(8, 12)]
    assert similarities(tmp_path, mixed, mixed) == {("m", index): index > 7 for index in range(12)}


def test_turns_named_after_the_speaker_enrol_and_are_judged_like_plain_ones(tmp_path: Path) -> None:
    own = [voice("m", index, 1, name="own") for index in range(5)]
    assert similarities(tmp_path, own, [voice("w", 0, 2), voice("r", 0, 1)]) == {("w", 0): True, ("r", 0): False}


def test_the_first_batches_with_a_minute_of_a_speaker_enrol() -> None:
    batches = [
        batch_of(3, {"e": "ann", "f": "bob"}),
        batch_of(1, {"a": "ann", "b": "bob"}, 20.0),
        batch_of(2, {"c": "ann", "d": "ann"}),
    ]
    found = {who: [batch.number for batch in rows] for who, rows in enrolling_batches(batches).items()}
    assert found == {"ann": [1, 2], "bob": [1, 3]}
