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
EMBEDDED = {
    "slice": {"slice.engine": "1" * 64}, "quality": {"quality.network": "6" * 64}, "f0": {"f0.engine": "2" * 64},
}  # fmt: skip
MODELS: dict[str, Any] = {
    "default": EMBEDDED | {"content": {"content.engine": "6" * 64}},
    "production": EMBEDDED
    | {"transcribe": {"model": "3" * 64}, "align": {"models.en": "4" * 64}, "content": {"content.model": "5" * 64}},
}
SHARED = {
    "decode": "741d50a0d54a90100c410e64a8fb08a658da67ed86a96b5865a19fbe86ade091",
    "slice": "21e6104e5eb63e47b2fee46a8557573c63162da893fc06db6c1a06f1d16c58e3",
    "denoise": "64b61a6ad57ff2eaa876684c3392f3902f6a6ab501e15dc2320dd13b526af613",
    "loudness": "3403e2bd89c75f351adfddb2ab878a4ce3389156abbd1272ba43b67224a363b5",
    "quality": "70b377c71b7d5c27da16ddfcc56f0ac11fb266ae071e174d48bd00ab8c153eba",
    "screen": "a09d21c73d959f9856595b8141c7cda2c5d50a8fb3b8ab8e30e0f4125d74dc29",
    "speaker": "175235418e0ca7b4cc7b132f84342024158344a76ec3fe01708529051e890bcc",
    "f0": "26f70661fafd3fa7832e70d8dfc39f616a2dbc82932cc786676b049efe70e5d0",
    "mel": "2fcf09ac9e10c6da0271027487fe3d6f12150ae76c9b004cae74cd1f067f17ba",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "e1457c631d3ab7aa7bacdb7c33d0366a8e3b2d8c7141d3dac5ebd8a323e83baa",
        "align": "eddde9088fb8811e4f48a383522b376bc15ed0a363e3bfb8b0662df9051e14a9",
        "content": "0e606e2467ad1c12a8a775a551d463f35d51ce8d587c2ce65b1b09b4f2e88e7e",
        "shards": "68d7f8c7cc9b329e01f3c7398e16533294ef575e3bf8ebed70d5603322d9e4d1",
    },
    "production": SHARED
    | {
        "transcribe": "546d4a4f3c846f15afe55124e266542977803cb3cd88c2415438987a346384e7",
        "align": "da3e5a845710f8eeb4090b24696f7b42a167133e685bcc87a2d627f653cf9b04",
        "content": "da7569651110ee8f03edaa05d074983a49d97db2158a02469863c4d8a7ac5cf8",
        "shards": "61ef2f5e702e7563bc073ae389770bac6c4a077959a2fe5406f19f2704ac45e7",
    },
}
IDS = {
    "default": "6e7c2e80671696acd041973bee273c616e7e4dc1a01e6163c52158b6e2765985",
    "production": "696f64bb46184c6129fbb0910ac07964a3607e423ab8d2416255548c8e602ce9",
}
DUMPS = {
    "default": "598e085dd0a26de202070eb1ff04414dfba8b9d2a0d5c2a8ff5e3bd60344a22b",
    "production": "619e11c6117160c1801cddd0bbb1bf7d8bbe1766c841d629dda43c278dbb3db0",
}
"""sha256 of the JSON of a shipped config."""
ORDER = [
    "decode", "slice", "denoise", "quality", "transcribe", "loudness", "align", "screen", "speaker", "content", "f0",
    "mel", "shards",
]  # fmt: skip
LIST = [
    "decode", "slice", "denoise", "loudness", "quality", "screen", "speaker", "transcribe", "align", "content", "f0",
    "mel", "shards",
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
    content = {"default": "features/whisper-3-cmvn-f215ea65", "production": "features/content-83a09ef3"}[name]
    voice = "features/voice-c764ec69"
    tables = {"speaker": voice, "content": content, "f0": "features/f0-83ce99ed", "mel": "features/mel-e1ef34a0"}
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


def test_a_store_of_plain_cepstra_runs_content_and_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store made before cepstra were normalised keeps its table, and gets a new one beside it."""
    now = pinned("default", monkeypatch)
    config = Config.model_validate({"content": {"engine": "mfcc"}})
    vars(config)["models"] = EMBEDDED
    before = Recipe(config)
    assert before.feature_tables["content"] == "features/mfcc-5bdeedb8"
    assert before.feature_tables.items() - now.feature_tables.items() == {("content", "features/mfcc-5bdeedb8")}
    keys, old = now.keys(BATCH), before.keys(BATCH)
    assert {name for name in keys if keys[name] != old[name]} == {"content", "shards"}


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
