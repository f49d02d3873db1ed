"""The symbol table against its digest and the published list; unknown phones are counted."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from voicemill.model.text.symbols import ARPABET, PAD, PUNCTUATION, SYMBOLS, SYMBOLS_V1, UNKNOWN, ids

GOLDEN = Path(__file__).parents[3].parent / "shared" / "gptsovits"
DIGEST = "0771f6cd6f6201e8c2b0de921dc69cc04caf3f346c599d4a41413967d5674da7"


def test_the_table_is_that_of_the_checkpoints() -> None:
    assert hashlib.sha256("\n".join(SYMBOLS).encode()).hexdigest() == DIGEST
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 732
    assert SYMBOLS[:322] == SYMBOLS_V1


@pytest.mark.realdata
@pytest.mark.parametrize(("file", "table"), [("symbols_v1.json", SYMBOLS_V1), ("symbols_v2.json", SYMBOLS)])
def test_the_published_list(file: str, table: tuple[str, ...]) -> None:
    if not (GOLDEN / file).exists():
        pytest.skip("../shared/gptsovits is not here; the digest above says the same")
    assert json.loads((GOLDEN / file).read_text()) == list(table)


def test_ids_that_the_checkpoints_fix() -> None:
    fixed = {"!": 0, ",": 1, "-": 2, ".": 3, "?": 4, "…": 321, "SP": 77, "SP2": 78, "SP3": 79, UNKNOWN: 86, PAD: 95}
    fixed |= {"[": 322, "]": 323, "ㄱ": 324, "空": 352, "Ya": 353, "Yz": 731}
    found = ids(fixed)
    assert found.ids.tolist() == list(fixed.values())
    assert found.ids.dtype == np.int64
    assert found.unknown == ()


def test_unknown_phones_are_counted_each_time() -> None:
    found = ids(["HH", "QQ", "AH0", "QQ"])
    assert found.ids.tolist() == [SYMBOLS.index("HH"), 86, SYMBOLS.index("AH0"), 86]
    assert found.unknown == ("QQ", "QQ")


def test_nothing_has_no_ids() -> None:
    assert ids([]).ids.shape == (0,)
    assert ids([]).ids.dtype == np.int64


def test_english_phones_are_in_the_table() -> None:
    assert set(SYMBOLS) >= ARPABET
    assert len(ARPABET) == 24 + 3 * 15
    assert set(SYMBOLS_V1) >= set(PUNCTUATION)
