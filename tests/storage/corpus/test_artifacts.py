"""Artifacts: rows and audio are read as written, and an unfinished artifact does not exist."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.power_cuts import CUTS, cut

from voicemill.storage.corpus.artifacts import (
    BLOCK,
    Artifact,
    ArtifactMeta,
    ArtifactWriter,
    audio_path,
    complete_artifact,
)
from voicemill.storage.outcomes import Failure, Reason
from voicemill.storage.records import Aligned, Word

ROW = Aligned(
    upload="u",
    index=0,
    text="héllo 你好",
    language="en",
    words=(Word("héllo", 0, 5, 0.5), Word("你好", 5, 9, 1.0)),
    status="aligned",
)


def write(path: Path, pieces: list[np.ndarray]) -> Artifact:
    with ArtifactWriter(path) as writer:
        for piece in pieces:
            writer.audio("u", -1, piece)
        writer.audio("u", 0, np.ones(3, np.float32))
        failure = Failure("v", "broke", reason=Reason.WORKER_DIED)
        return writer.finish(
            [ROW], Aligned, ArtifactMeta(stage="align", key="k", failures=(failure,), pending=("v",), lost=("v",))
        )


def test_rows_and_meta_come_back(tmp_path: Path) -> None:
    write(tmp_path / "k.arrow", [])
    artifact = Artifact(tmp_path / "k.arrow")
    assert artifact.rows(Aligned) == [ROW]
    assert artifact.meta.failures == (Failure("v", "broke", reason=Reason.WORKER_DIED),)
    assert (artifact.meta.pending, artifact.meta.lost) == (("v",), ("v",))


@given(
    st.lists(st.integers(0, 700), min_size=1, max_size=5),
    st.tuples(st.integers(0, 3000), st.integers(0, 3000)).map(sorted),
)
def test_audio_is_the_same_for_any_blocks(tmp_path_factory: pytest.TempPathFactory, sizes, span) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("artifact") / "k.arrow"
    wave = np.random.default_rng(0).standard_normal(sum(sizes)).astype(np.float32)
    artifact = write(path, np.split(wave, np.cumsum(sizes)[:-1]))
    with artifact.waves() as waves:
        assert waves.samples("u") == len(wave)
        np.testing.assert_array_equal(waves.read("u", -1, *span), wave[slice(*span)])
        np.testing.assert_array_equal(np.concatenate([np.empty(0, np.float32), *waves.stream("u")]), wave)
        np.testing.assert_array_equal(waves.read("u", 0), np.ones(3))
        assert waves.read("nobody").size == 0


def test_long_audio_is_stored_in_blocks(tmp_path: Path) -> None:
    wave = np.arange(2 * BLOCK + 5, dtype=np.float32)
    artifact = write(tmp_path / "k.arrow", [wave])
    assert max(block.samples for block in artifact.meta.blocks) == BLOCK
    with artifact.waves() as waves:
        np.testing.assert_array_equal(waves.read("u", -1, BLOCK - 2, BLOCK + 2), wave[BLOCK - 2 : BLOCK + 2])


@given(arrays(np.float32, 50, elements=st.floats(width=32, allow_nan=False)))
def test_samples_are_stored_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, wave: np.ndarray) -> None:
    artifact = write(tmp_path_factory.mktemp("artifact") / "k.arrow", [wave])
    with artifact.waves() as waves:
        assert waves.read("u").tobytes() == wave.tobytes()


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stage" / "k.arrow"
    with pytest.raises(RuntimeError), ArtifactWriter(path) as writer:
        writer.audio("u", -1, np.zeros(10, np.float32))
        raise RuntimeError
    assert not path.exists()
    assert not audio_path(path).exists()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("damage", CUTS)
@pytest.mark.parametrize("which", ["rows", "audio"])
def test_an_artifact_whose_footer_cannot_be_read_is_incomplete(tmp_path: Path, which: str, damage: str) -> None:
    path = tmp_path / "k.arrow"
    write(path, [np.zeros(BLOCK + 1, np.float32)])
    assert complete_artifact(path) == Artifact(path)
    cut(path if which == "rows" else audio_path(path), damage)
    assert complete_artifact(path) is None


def test_audio_of_another_run_does_not_complete_an_artifact(tmp_path: Path) -> None:
    path, longer = tmp_path / "k.arrow", tmp_path / "longer.arrow"
    write(path, [np.zeros(9, np.float32)])
    write(longer, [np.zeros(BLOCK + 1, np.float32)])
    audio_path(longer).replace(audio_path(path))
    assert complete_artifact(path) is None


def test_an_artifact_without_audio_is_complete_by_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "k.arrow"
    with ArtifactWriter(path) as writer:
        writer.finish([ROW], Aligned, ArtifactMeta("align", "k"))
    assert complete_artifact(path) == Artifact(path)
    assert complete_artifact(tmp_path / "other.arrow") is None
