"""Recipes and content keys are those of stores that exist: changing one of these literals prepares every store anew.

Versions of stages and digests of models are injected: a bump of a VERSION changes keys as it should, and no line here.
"""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from voicemill.storage.records import Batch, Upload
from voicemill.tasks import recipe as recipe_
from voicemill.tasks.config import Config, load
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import SINK, SOURCE, STAGES

BATCH = Batch(
    "b" * 16,
    7,
    (
        Upload("a" * 64, "ann", "ann/0.wav", 9, language="en", text="hello there", seconds=2.0),
        Upload("c" * 64, "bob", "bob/0.wav", 9, seconds=3.0),
    ),
)
DUPLICATES = ["c" * 64, "d" * 64]
EMBEDDED = {"slice": {"slice.engine": "1" * 64}, "f0": {"f0.engine": "2" * 64}}
MODELS: dict[str, Any] = {
    "default": EMBEDDED,
    "production": EMBEDDED
    | {"transcribe": {"model": "3" * 64}, "align": {"models.en": "4" * 64}, "content": {"content.model": "5" * 64}},
}
SHARED = {
    "decode": "741d50a0d54a90100c410e64a8fb08a658da67ed86a96b5865a19fbe86ade091",
    "slice": "21e6104e5eb63e47b2fee46a8557573c63162da893fc06db6c1a06f1d16c58e3",
    "denoise": "64b61a6ad57ff2eaa876684c3392f3902f6a6ab501e15dc2320dd13b526af613",
    "loudness": "3403e2bd89c75f351adfddb2ab878a4ce3389156abbd1272ba43b67224a363b5",
    "quality": "a3e86cc141b78d842d71649f0daaaf95d31965c517294f3ff4b5881e12a203ce",
    "screen": "194ccc75bc3b0fdde6c11e37151b9206e4f04effbdbef9f98bc9ca8c72e3a883",
    "f0": "caecb48d51620e1e1787a30e06b416c2e0cfbe1479ed36e301d60b8957b99ae7",
    "mel": "99be272243c360fc686de1e74d8cc74db9ec576e393374d3a3eb74fc11271199",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "0ebc13741826bf492c5d115ca81aed1f7e64c6458af5da6a11a78958ce2352f6",
        "align": "6b0c410c4f8d540278d4cd46fe378cb7a1f13faeb9d64eba7b96abe75142167c",
        "content": "7595ca895705a36246e7744604fc972d1e76eca193f63676bf3b7015952bca7f",
        "shards": "1a98ecb6693beb72b84f179ba33aa11df99808e0f39dd6a012164d04a2169157",
    },
    "production": SHARED
    | {
        "transcribe": "b46ecdf283ea7a4956a3817e1d28424b87e247b78d489b2edcd111972201878e",
        "align": "eadbb07d7db1ef0121c4fc45e4eb1a53cd8d9e632771a959eaf0aa495f5f15f7",
        "content": "9b8c503f847bb3ecfe70c328956d78ff76d5991c4c882389671e1b9529e42b03",
        "shards": "b5420141781101dfda34226251e12d2f68a29ff8a8e13a477a618fb3fb52d924",
    },
}
IDS = {
    "default": "a66cd8f0a8913c78c0af5b8631aa890ef96397ac764b413d3d5e481e892a1ad2",
    "production": "6d49fe8fffa789a67beb9ef1cd3fe5702f6946f10b2dd2899da6dc1833acff1c",
}
DUMPS = {
    "default": "7a473f86d13218d716937da07dc056243ae49c62d5007b86d390da6b4ba155fd",
    "production": "d48203baceff1a769f23ac0aaeefe46a20b7aba4911e37cb06fceead2abf7b77",
}
"""sha256 of the JSON of a shipped config."""
ORDER = [
    "decode", "slice", "denoise", "quality", "transcribe", "loudness", "align", "screen", "content", "f0", "mel",
    "shards",
]  # fmt: skip
LIST = [
    "decode", "slice", "denoise", "loudness", "quality", "screen", "transcribe", "align", "content", "f0", "mel",
    "shards",
]  # fmt: skip
SECTIONS = ["scan", "batches", *LIST, "publish", "run"]


def pinned(name: str, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe of a shipped config, with every stage at version 1 and made-up models."""
    monkeypatch.setattr(recipe_, "STAGES", tuple(replace(stage, version=1) for stage in STAGES))
    config = load(name)
    vars(config)["models"] = MODELS[name]
    return Recipe(config)


@pytest.mark.parametrize("name", IDS)
def test_the_recipes_of_existing_stores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = pinned(name, monkeypatch)
    assert recipe.id == IDS[name]
    assert recipe.keys(BATCH, DUPLICATES) == KEYS[name]
    content = {"default": "features/mfcc-5bdeedb8", "production": "features/content-83a09ef3"}[name]
    tables = {"content": content, "f0": "features/f0-83ce99ed", "mel": "features/mel-e1ef34a0"}
    assert list(recipe.feature_tables.items()) == list(tables.items())


@pytest.mark.parametrize("name", DUMPS)
def test_the_config_of_existing_stores(name: str) -> None:
    assert list(Config.model_fields) == SECTIONS
    assert hashlib.sha256(load(name).model_dump_json().encode()).hexdigest() == DUMPS[name]


def test_only_duplicates_and_the_recipe_change_a_key_besides_the_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = pinned("default", monkeypatch)
    unique, others = recipe.keys(BATCH), recipe.keys(BATCH, ["d" * 64])
    assert unique == others
    assert {name for name, key in unique.items() if key == KEYS["default"][name]} == {"decode"}
    config = recipe.config.model_copy()
    vars(config)["models"] = MODELS["default"] | {"content": {"content.model": "9" * 64}}
    changed = Recipe(config).keys(BATCH, DUPLICATES)
    assert {name for name in changed if changed[name] != KEYS["default"][name]} == {"content", "shards"}


def test_stages_run_after_what_they_read() -> None:
    assert [stage.name for stage in Recipe(load()).stages] == ORDER
    assert [stage.name for stage in Recipe(load("production")).stages] == ORDER
    assert (SOURCE.name, SINK.name) == ("decode", "shards")
    assert [stage.name for stage in STAGES] == LIST
    assert SINK.needs == tuple(stage.name for stage in STAGES if stage is not SINK)


def test_the_chained_order_runs_the_recogniser_after_loudness() -> None:
    config = Config.model_validate({"transcribe": {"engine": "whisperx", "listen_to": "prepared"}})
    vars(config)["models"] = MODELS["production"]
    order = [stage.name for stage in Recipe(config).stages]
    assert order.index("loudness") < order.index("transcribe") < order.index("align")
    assert Recipe(config).keys(BATCH).keys() == set(ORDER)
