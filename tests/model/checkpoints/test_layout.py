"""The list of tensors: against the listings of the public checkpoints, and by its sums and digests without them."""

import hashlib
import json
import math
from pathlib import Path

import pytest

from voicemill.model.checkpoints.layout import Kind, layout

GOLD = Path(__file__).parents[4] / "shared" / "gptsovits"

LISTED: list[tuple[Kind, str, str, int, int, str]] = [
    ("s1", "v2", "s1_v2", 295, 77_606_402, "c915379d577b2848"),
    ("s2", "v2", "s2_v2", 776, 51_310_080 + 1_573_889, "47c4b0f3b4c38fa3"),
    ("s2", "v2Pro", "s2_v2Pro", 781, 79_428_096 + 1_573_889, "6110db08cd0fe6a4"),
    ("s2", "v2ProPlus", "s2_v2ProPlus", 781, 98_338_432 + 1_573_889, "00e1e3bff42eb240"),
    ("s2_discriminator", "v2", "s2_v2_disc", 111, 46_747_132, "2fab5aea720dbf40"),
    ("s2_discriminator", "v2Pro", "s2_v2Pro_disc", 147, 63_189_440, "5dd9363e983aaf3a"),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("kind", "version", "name"), [row[:3] for row in LISTED])
def test_the_layout_is_the_public_listing(kind: Kind, version: str, name: str) -> None:
    path = GOLD / f"{name}_state_dict.json"
    if not path.exists():
        pytest.skip("../shared/gptsovits is not here; the next test holds the same by digests")
    listing = json.loads(path.read_text())
    expected = {key.removeprefix("model."): tuple(entry["shape"]) for key, entry in listing.items()}
    assert dict(layout(kind, version)) == expected


@pytest.mark.parametrize(("kind", "version", "_", "keys", "values", "digest"), LISTED)
def test_counts_and_digests(kind: Kind, version: str, _: str, keys: int, values: int, digest: str) -> None:
    actual = layout(kind, version)
    assert len(actual) == keys
    assert sum(math.prod(shape) for shape in actual.values()) == values
    listed = "\n".join(f"{key} {list(shape)}" for key, shape in sorted(actual.items()))
    assert hashlib.sha256(listed.encode()).hexdigest()[:16] == digest


def test_an_unknown_version_is_no_layout() -> None:
    with pytest.raises(KeyError):
        layout("s2", "v3")
