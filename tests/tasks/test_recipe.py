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
    "default": EMBEDDED | {"content": {"content.engine": "6" * 64}},
    "production": EMBEDDED
    | {"transcribe": {"model": "3" * 64}, "align": {"models.en": "4" * 64}, "content": {"content.model": "5" * 64}},
}
SHARED = {
    "decode": "741d50a0d54a90100c410e64a8fb08a658da67ed86a96b5865a19fbe86ade091",
    "slice": "21e6104e5eb63e47b2fee46a8557573c63162da893fc06db6c1a06f1d16c58e3",
    "denoise": "64b61a6ad57ff2eaa876684c3392f3902f6a6ab501e15dc2320dd13b526af613",
    "loudness": "3403e2bd89c75f351adfddb2ab878a4ce3389156abbd1272ba43b67224a363b5",
    "quality": "a3e86cc141b78d842d71649f0daaaf95d31965c517294f3ff4b5881e12a203ce",
    "screen": "92db7128e6f28ca90d0b083d91b8cdaf6f1a7a409327b3e4f59512c4052d7d4e",
    "speaker": "93fce5d80a0c8e4c6f6e77d7f1cdb27a8c098ea32615fa45c6f06ade3e85f522",
    "f0": "e192b40d00635ec36776346a7e8155c781e7c1a5ec6ce94e977a50813a8c4038",
    "mel": "6a0cf3b707f4e8fb4969997f3d7f5ed2daef688689ffc7f57aab6e870e1814e3",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "67d80f0cdf12b87545f33a92b87d6585ddd8603c78103143b180e52d75b68114",
        "align": "a3e7ae67789dbee51116e980f8617dff7f466f605a1667c6d31395a3fe73a873",
        "content": "97fd64026dead116c3e6cbff47abab165dd2ab63743f92b59ce915f73324935b",
        "shards": "32788a73a767e4beebdbbce51b645c0e286ce695078c551ccd8aa424a6725973",
    },
    "production": SHARED
    | {
        "transcribe": "3278bb667590f27dcae91c2216cbd4b53e66d71c9ef137ad4ac4965b6bf6f99c",
        "align": "73a9f4ed7740fb550f9dac7da6b17412480ee1f890a590b335844361d1e75359",
        "content": "056b30b9f75ca77beaeecaf97729fc498d76ad74760f25a75e0c76a2715c130b",
        "shards": "dc7f59acf7d930edad30ece22cc93cbd49a49beb7f8e6c72b5ca08ab64044dcb",
    },
}
IDS = {
    "default": "d85bf766f64332a19aad040d97c5df4a816872776736ef772c277578cd9db9d9",
    "production": "f17efb9d9379e543e8f22a3b6b9c9783d7d0d1092d7bd45a5e4b7f021fb78249",
}
DUMPS = {
    "default": "f7d3400fd81623461e3a21bebf4a2245b4d62d90fe35fd106b273a039313e497",
    "production": "5dcd2881b7ae80cba42666f847e0623657412ae270e2f940dd08df409a0f608b",
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
