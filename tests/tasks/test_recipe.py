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
    "slice": "30dc35ef3e7ed4d8fd37aaa4b9eb98e0480eff2fb65714f7e14902cdccb4135a",
    "denoise": "2e4e20280e46024e8f287586a5a393f1f5bb6c64d50d203d2df393a7cc6d0499",
    "loudness": "0e891b3d04473364fc9f5904c80e2eeb89d3df4b6a47512eebada9e7513af32c",
    "quality": "3f77f65f14690004ed39212ef9b8f5bf3d4aad83366d9d8ad088d903480e0d66",
    "screen": "883b1c2adedf07f714573ad0284b8bc2ce4e1c00717b61ad53c03e485e6e1536",
    "speaker": "86cfb53398125ccd1be5e123b5d7c4ce7553eb4f767d05276f5f7c61f5956e05",
    "f0": "275ea00b4d74678a9b0083e0820e1d9ea9e486706998e65d865c87ba7931a243",
    "mel": "1edbb3eabc3162f50739feb3c1435eff0149d8f5607bda646064254910648513",
}
KEYS = {
    "default": SHARED
    | {
        "transcribe": "0a91ffd11ba9b6f1aa2b1b36d6e41065419a748010ff4fa4f4c28bb1047d4f91",
        "align": "088d4695631a9a95bba2803a284ccbe14204a56c159a94d65d468a51cc19d571",
        "content": "1427ef4053e8f88ba27378f33687d9595fc0353ef8ed211bbc82ce2d63149c18",
        "shards": "79f950b121182bfedc28b75e3391e013b9707931a2e7005954b932e7d6c18d0f",
    },
    "production": SHARED
    | {
        "transcribe": "d67aefbdd9171137ff298863c02b7ea67f4fdbbea4773b25b9b9abfc4cc0cc09",
        "align": "aabb4d13b18c00cf9cd34797fd27dfbf6a66a52ea6d4b0a7930e37fd4330c78c",
        "content": "25264b2d2e0e1fe43b77171cecc77f0f4e326cbc3456a5e904ddc4e89236cd9c",
        "shards": "41c977e25aeab8daa337f43ba6120307830d60c73994cdca07e4821d95d4d1ab",
    },
}
IDS = {
    "default": "2b74a5d9603625b35f3ee4a9a547310ea1d06922456bd54b80a2a0e488081a97",
    "production": "870ebb23e41a99e5028d0c94df4c10116c2867662fb7cbf415e11bcf9054b634",
}
DUMPS = {
    "default": "938d2b6adf5d55a237efccd1b9bdf06437ec7cefe5d40def7f9bb92331207990",
    "production": "34475320d39a42ff80822d4c355cdc71f3be2171ee95522eaefa2ae38422bd99",
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
