"""A small corpus version with real shards: four speakers, three batches, 48 utterances of 1 to 4 s."""

from pathlib import Path

import pytest
from support import factories as f

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.records import Batch
from voicemill.storage.store import Store

SPEAKERS = ("ann", "bob", "cid", "dot")
TEXT = "what a lovely day it is to say something"


def batches() -> list[Batch]:
    def length(who: int, number: int) -> float:
        return 3.0 + (7 * who + 11 * number) % 13 * 0.4

    return [
        f.make_batch(
            number + 1,
            *(
                f.upload(speaker, 2 * number + n, length(who, 2 * number + n), TEXT)
                for who, speaker in enumerate(SPEAKERS)
                for n in range(2)
            ),
        )
        for number in range(3)
    ]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusVersion:
    """The version, made once; tests only read it."""
    store = Store.open(tmp_path_factory.mktemp("data") / "store", create=True)
    assert f.corpus(store, batches()) is not None
    return CorpusVersion.open(store)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)
