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
    "quality": "4860c833f90f39202ca46d7528880bfb011b1489900fd2e8a3d4cc0b94d945c4",
    "screen": "2dae88a5ed1b06a20a7775aec54f8082bae072be0a2f42ce18804bd1d71bccf5",
    "speaker": "1f082060eada5a126f72fb5ecc8ee7f61e42ad3a2bd7bb3ae3802d67744cbcc7",
    "f0": "f62e9f28dfa1ae772e6d987b7559d93da1a2983ad8158bfaaffb7c1eff74ed1d",
    "mel": "af0008a6bf43670d7426f0760db6fbb681ceea3c6ed2c3e38a32f6742c34cd19",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "e1457c631d3ab7aa7bacdb7c33d0366a8e3b2d8c7141d3dac5ebd8a323e83baa",
        "align": "067fafd7a9caad07b9323fdc66cbcece738f1573acfcf5e868212266a66fe977",
        "content": "edd2ad3af18bd9ad5bd1f681c9d8cea627b830867947370c9a1fbb594cf6faa0",
        "shards": "9e1fe3760a72cf7ec9f833e8dbb78311a63fba250c32c06e127c471d70daa85c",
    },
    "production": SHARED
    | {
        "transcribe": "546d4a4f3c846f15afe55124e266542977803cb3cd88c2415438987a346384e7",
        "align": "94fb039e31842dab1f7b36c5c0cb8402494f8b06367f47e70ada5f482fb2055b",
        "content": "5502507f07796bd5d1397f3b87e4a6c4691a190e209520fd8fe3695e486df89c",
        "shards": "59d1398a2a4b0c05ba04a579832f9ff44b0a740efd19e4dab6ea1d16b1eae3ec",
    },
}
IDS = {
    "default": "1fe313e84726791760e3d66ae881c65971da68fde3fb80e02c3f2f6b3d80cfe8",
    "production": "0f735b809d64558ae6f5c12fcac17b03b40e6597ca4a760ee81c61bfcb573e5a",
}
DUMPS = {
    "default": "d8bce1ded79fcc5885af4a50d9498c83f386ef117b61c28cd72afec0aecc7e5e",
    "production": "36036337a93c6012e88b76b730b95cc30d547d07c015c769867e0686891dfd2d",
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
