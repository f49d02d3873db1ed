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
        "transcribe": "67d80f0cdf12b87545f33a92b87d6585ddd8603c78103143b180e52d75b68114",
        "align": "a3e7ae67789dbee51116e980f8617dff7f466f605a1667c6d31395a3fe73a873",
        "content": "0e606e2467ad1c12a8a775a551d463f35d51ce8d587c2ce65b1b09b4f2e88e7e",
        "shards": "66749199f4fae4ecf8d3a897fbbb0b7727ff6bf4ebce267ad34dadb5d2bc713d",
    },
    "production": SHARED
    | {
        "transcribe": "3278bb667590f27dcae91c2216cbd4b53e66d71c9ef137ad4ac4965b6bf6f99c",
        "align": "73a9f4ed7740fb550f9dac7da6b17412480ee1f890a590b335844361d1e75359",
        "content": "da7569651110ee8f03edaa05d074983a49d97db2158a02469863c4d8a7ac5cf8",
        "shards": "a15bebce188ee2c25d4e17013917920645fae3771f32a6400dd63ec15c13dbb9",
    },
}
IDS = {
    "default": "7e626f38c76c4a64c6fc0feea8efb800566111e746af10cd9652281b781e2779",
    "production": "ae84b8f510d3e55d808c54e4efa5593fd6904a04baecc06d28621ad6c9589af5",
}
DUMPS = {
    "default": "0a8290f8736f49f9c65a7ea5b6348c78b013fbe788cca209652155202eb39cef",
    "production": "33f37279951a7c62a2b6f674857f4d30480208c79b4c970fcbeba9b51e5ab16b",
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
