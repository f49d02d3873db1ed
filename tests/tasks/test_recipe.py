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
    "diarise": {"diarise.voices": "7" * 64}, "slice": {"slice.engine": "1" * 64},
    "quality": {"quality.network": "6" * 64}, "f0": {"f0.engine": "2" * 64},
}  # fmt: skip
MODELS: dict[str, Any] = {
    "default": EMBEDDED | {"content": {"content.engine": "6" * 64}},
    "production": EMBEDDED
    | {"transcribe": {"model": "3" * 64}, "align": {"models.en": "4" * 64}, "content": {"content.model": "5" * 64}},
}
SHARED = {
    "decode": "741d50a0d54a90100c410e64a8fb08a658da67ed86a96b5865a19fbe86ade091",
    "diarise": "5b16cff2da26ded8a397a9944866258d3001aae0d4b88a4034bf695d916ca2f0",
    "slice": "7dbe459f8903c3fb85c5901d40a5258e3a336e1059aa4c1945e0c94dca609c8c",
    "denoise": "300d75e45b987980c509b7e8c278342144110f265601ecfb58e37409c373a999",
    "loudness": "35df3881b422c21778f8f1d330b547d565bf8f25bc4674bb2dba2b5c01e6a891",
    "quality": "0d409c1e9ddf0ac51d730e612cde66e5f59ba232fe0a933e6c43601eca324a44",
    "screen": "c9ad8fc3b80963f5e572b7b6ddc7df575f623263aa7c70f1ba03f4a36b1eec87",
    "speaker": "2a480d29618d8c40897c35b2f9ae41b36dccb2004c88ee2e5857192c54f94f40",
    "f0": "7d7d62b3e3e715c17c2bd0dab2614473e2f195c5f586fa6ae0c32cb387c8dcf8",
    "mel": "f39522dcb9f7d895f36dc1a9ce1ad35477afa3cdf9dd0a99f0a3767b1d165991",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "29b4a14948c25f31cba5c941793e050859982fb0c66a8d558bb7d8b9c4505a0f",
        "align": "f6cdc1962d816f10fe8849ef16bbdf8c8617e24494edbe0b5ed2b59bfbf58c6e",
        "content": "a2ba1991553ed633d01ea361dabab6a4ff492c5fa24abc4128cc20f939c4ecb7",
        "shards": "a6226123d4818eb0d501f5a17ffc2807f1eccff28ea7b8f9afb7492ec5a03584",
    },
    "production": SHARED
    | {
        "transcribe": "8bbc83d6e46d4d047dd75f4b936cffec328dc896ba141528551df86ec0e77b64",
        "align": "f4e87019ec7b2d8fd5ec3516a2f3bb28eea9936bb728d94a066159b35766667e",
        "content": "c29eb0dc389f3628721f712bfc6e66293b9d9bec21b81a10825e85196f208f38",
        "shards": "eedf08b3365cc5f5abaaca2e53ea2d2ed693f23bb3a9af62c392967f5f1d2cc4",
    },
}
IDS = {
    "default": "21c341ba9e4e5d091fb8bac5d3c563914d5ceab73ae63ac8d556dbb245c39cc3",
    "production": "b256ef411d49e4ed2ac674cd77a07847383038a6c50e13887b0f5fed5e9418b5",
}
DUMPS = {
    "default": "1b0f25adb86eeef6edd62e652ae5da3defda485303f840a38332bf68ccfa8b01",
    "production": "31d011f1c3ffc68d971201201abbcbd5ee487cba09ee20607a304d5594c6fb5d",
}
"""sha256 of the JSON of a shipped config."""
ORDER = [
    "decode", "diarise", "slice", "denoise", "quality", "transcribe", "loudness", "align", "screen", "speaker",
    "content", "f0", "mel", "shards",
]  # fmt: skip
LIST = [
    "decode", "diarise", "slice", "denoise", "loudness", "quality", "screen", "speaker", "transcribe", "align",
    "content", "f0", "mel", "shards",
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
    assert {name for name, key in unique.items() if key == KEYS["default"][name]} == {"decode", "diarise"}
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
