"""The reference of a speaker enters the key of the shards, and of nothing else."""

from dataclasses import replace

import pytest

from voicemill.storage.records import Batch, Upload
from voicemill.tasks.config import Config
from voicemill.tasks.enrolment import enrolling_batches
from voicemill.tasks.recipe import Recipe


def batch(number: int, *names: str, seconds: float = 70.0) -> Batch:
    """A batch of uploads "ann-1": the speaker, and what tells the upload from others."""
    uploads = (Upload(name * 8, name.partition("-")[0], f"{name}.wav", 1, seconds=seconds) for name in names)
    return Batch(f"b{number}", number, tuple(uploads))


@pytest.fixture
def recipe() -> Recipe:
    config = Config.model_validate({"speaker": {"engine": "ge2e"}, "content": {"engine": "mfcc"}})
    vars(config)["models"] = {}
    return Recipe(config)


def changed(recipe: Recipe, later: Batch, before: list[Batch], after: list[Batch]) -> set[str]:
    """Stages whose key for the later batch differs between two sets of batches."""
    keys = [recipe.keys(later, (), enrolling_batches([*batches, later])) for batches in (before, after)]
    return {stage for stage, key in keys[0].items() if key != keys[1][stage]}


def test_a_change_in_the_reference_writes_the_shards_again_and_nothing_else(recipe: Recipe) -> None:
    first, later = batch(1, "ann-1", "ann-2", "bob-1"), batch(2, "ann-3")
    without = replace(first, uploads=first.uploads[:1] + first.uploads[2:])
    assert changed(recipe, later, [first], [without]) == {"shards"}
    assert changed(recipe, later, [first], [first]) == set()


def test_batches_that_enrol_none_of_its_speakers_change_no_key(recipe: Recipe) -> None:
    first, later = batch(1, "ann-1"), batch(3, "ann-3")
    assert changed(recipe, later, [first], [first, batch(2, "bob-1", "ann-2")]) == set()
    assert changed(recipe, later, [first], [first, batch(4, "ann-4")]) == set()


def test_without_an_encoder_nobody_is_compared() -> None:
    config = Config.model_validate({"speaker": {"engine": "none"}, "content": {"engine": "mfcc"}})
    vars(config)["models"] = {}
    first, later = batch(1, "ann-1"), batch(2, "ann-3")
    assert changed(Recipe(config), later, [first], [batch(1, "ann-9")]) == set()
    assert Recipe(config).enrolments(later, (), enrolling_batches([first, later])) == ()


def test_an_enrolment_names_the_uploads_of_its_speaker_alone(recipe: Recipe) -> None:
    first, later = batch(1, "ann-1", "bob-1"), batch(2, "ann-3")
    (enrolment,) = recipe.enrolments(later, (), enrolling_batches([first, later]))
    assert (enrolment.speaker, enrolment.uploads) == ("ann", (first.uploads[0].sha256,))
    assert enrolment.key == recipe.keys(first)["speaker"]
