"""Recipes and content keys are those of stores that exist: changing one of these literals prepares every store anew.

Versions of stages and digests of models are injected: a bump of a VERSION changes keys as it should, and no line here.
"""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from voicemill.storage.outcomes import Repeat
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
    "diarise": "be69d23997c4bbb56653c3c52aa1c7dc9606ed3467b254833ed54f83b8514e40",
    "slice": "b35c43db70692df0f3fffdc17414657e63f835e01275549401018b4ab839e208",
    "denoise": "a7b7cfcde8103cc5c89f37196ad0f7737d4900becaecca77fc67240720b88023",
    "loudness": "810da8a1c711be7f7dda4ecd9dff2e8f9e77d5ace7a53436b6bca091414a117d",
    "quality": "bb3b4f8a7e18d2d50f0e5fd74d7308325eb40055cc04d39754f515d6c1ad8f97",
    "screen": "dc8e01a7838638137305ad11abfbc819cc41d7fbdd9af8f71ebb1fb1225fbb6a",
    "speaker": "2ef0a696b48203caaae6cd6f579d8299ee7e4a4c28f735ad4f82e67a5aa0422d",
    "f0": "695ae0a5b7d2a70de5f1950600577098b8ff72a677e08ebef2198445142e0e0e",
    "mel": "4f07b4be9f57fbcf245cdc05a1d03b8c9b74fbd21262e4a9fb4f4e897c28e2e7",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "cfe23bb32cfda6fe13e476fb7022aad35879412e4920d755da4a9b64f225ebde",
        "align": "60f6523ac6cbec9663f68e4a59b4c61e517d55d998e345fd9dcea448a84b5eea",
        "content": "45dc0584bf34766e19006b0584123b37459b53352770b6868fee80fd8c4a40f6",
        "shards": "7a15cb5286be6183d37e3a87840793a60f3e9234ec89aa5cfef05d05a9d3fcaf",
    },
    "production": SHARED
    | {
        "transcribe": "c36911ececd726d0dfe33360b3b96a7c1f2fe1b3528f0ab02a472c47648bceff",
        "align": "e9147fcb1a5ed6904b1792c93ded0ae9dd3e6e324da4f96a049cae75f2d073b3",
        "content": "9885f1b44ad2251a942fbea4c36183f7ff0e59a5dac06bd7ee79fc67ca458d0e",
        "shards": "51b736010c7ce8bfb12d8a75336f5515467d11d118187f264401b0e213f98ad1",
    },
}
IDS = {
    "default": "501507b8d6fe2d2dfdc4bc6f76e7f1801ddb9ad98bdfab24d747847c53faea33",
    "production": "9e7c31cce8130bf7d8e8ae3807070c7e8a75136c720129b0d4d55b4d2c786cf3",
}
DUMPS = {
    "default": "9f24c33635b5e0ffb1cf73be2af0d9807586fbf2228050c10b84fc6f210e3aad",
    "production": "7793cc7c1a28ab2cc407cea3125c52f3c291a4510303ae428fa08d5a98b86d0d",
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
    voice = "features/voice-febdb3b4"
    tables = {"speaker": voice, "content": content, "f0": "features/f0-a95adfb3", "mel": "features/mel-e1ef34a0"}
    assert list(recipe.feature_tables.items()) == list(tables.items())


@pytest.mark.parametrize("name", DUMPS)
def test_the_config_of_existing_stores(name: str) -> None:
    assert list(Config.model_fields) == [*SECTIONS, "notify"]  # which is not recorded
    recorded = json.dumps(load(name).recorded(), separators=(",", ":"))
    assert hashlib.sha256(recorded.encode()).hexdigest() == DUMPS[name]


def test_stretches_that_earlier_uploads_have_change_the_key_of_what_is_cut() -> None:
    recipe = Recipe(load("default"))
    upload = BATCH.uploads[0].sha256
    repeats = {upload: (Repeat(0, 32_000, "e" * 64, 5),)}
    plain, changed = recipe.keys(BATCH), recipe.keys(BATCH, repeats=repeats)
    assert {name for name in plain if plain[name] == changed[name]} == {"decode", "diarise"}
    elsewhere = {upload: (Repeat(0, 32_000, "f" * 64, 9),), "d" * 64: (Repeat(0, 9, "e" * 64, 0),)}
    assert recipe.keys(BATCH, repeats=elsewhere) == changed  # the same stretch, and another batch's


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
