"""Repeats: what is recorded stays valid while the earlier uploads are there; the earliest upload counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import factories as f

from voicemill.flows.plans.repeats import Searched, known_repeats
from voicemill.flows.plans.repeats import searched as searched_by
from voicemill.model.audio.fingerprint import fingerprint
from voicemill.storage.outcomes import Repeat, UploadState
from voicemill.storage.records import Decoded
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.intake.admission import excluded_row

Wave = NDArray[np.float32]


def voice(seed: int, seconds: float = 6.0) -> Wave:
    """Tones that jump four times a second: peaks like those of a voice."""
    rng, parts = np.random.default_rng(seed), []
    time = np.arange(RATE // 4) / RATE
    for _ in range(round(4 * seconds)):
        tones = [np.sin(2 * np.pi * rng.uniform(300, 3000) * time) for _ in range(4)]
        parts.append(sum(tones) * np.hanning(len(time)) * 0.05)
    return np.concatenate(parts).astype(np.float32)


def decoded(name: str, wave: Wave, rate: int = 16_000) -> Decoded:
    return Decoded(
        upload=name, samples=len(wave), pcm=name, codec="", rate=rate, channels=1, fingerprint=fingerprint(wave)
    )


def searched(*rows: Decoded) -> Searched:
    found = Searched(("store", 0))
    for row in rows:
        found.add([(row.upload, row.fingerprint)])
    return found


def test_recorded_stretches_count_while_the_earlier_uploads_are_there() -> None:
    row = replace(
        excluded_row(f.upload("ann"), UploadState.PREPARED, ""),
        sha256="b",
        batch="1",
        repeats=(Repeat(0, 9, "a", 0), Repeat(9, 20, "c", 0)),
    )
    order = {"a": (1, 0), "c": (1, 1), "b": (2, 0)}
    assert known_repeats([row], order) == {"b": row.repeats}
    assert known_repeats([row], {"a": (1, 0), "b": (2, 0)}) == {}
    assert known_repeats([row], {**order, "c": (3, 0)}) == {}
    assert known_repeats([replace(row, repeats=None), replace(row, repeats=())], order) == {}


def test_of_many_uploads_the_earliest_with_a_stretch_is_named() -> None:
    waves = [voice(seed) for seed in range(9)]
    rows = [decoded(str(n), wave) for n, wave in enumerate(waves)]
    order = {row.upload: (1, n) for n, row in enumerate(rows)} | {"copy": (1, 4), "joined": (2, 0)}
    joined = decoded("joined", np.concatenate([0.5 * waves[3], waves[7]]))
    prints = searched(*rows, decoded("copy", 0.2 * waves[3]))
    known = dict.fromkeys(order, (16_000, 6 * RATE))
    first, second = prints.find(joined, order, known)
    assert (first.upload, second.upload) == ("3", "7")
    assert (first.start, second.stop) == (0, joined.samples)
    assert first.stop <= second.start == pytest.approx(6 * RATE, abs=0.3 * RATE)
    assert prints.find(rows[3], order, known) == ()  # none before it has it
    assert prints.find(replace(joined, rate=48_000), order, known) != ()
    assert prints.find(joined, order, dict.fromkeys(order, (8_000, 6 * RATE))) == ()  # what was there was worse


def test_a_jingle_in_two_long_recordings_is_no_repeat_and_a_short_recording_inside_a_long_one_is() -> None:
    jingle = voice(1, 3.0)
    one, two = (np.concatenate([jingle, voice(seed, 20.0)]) for seed in (2, 3))
    order = {"one": (1, 0), "jingle": (1, 1), "two": (1, 2)}
    rows = {"one": decoded("one", one), "jingle": decoded("jingle", jingle), "two": decoded("two", two)}
    known = {name: (row.rate, row.samples) for name, row in rows.items()}
    assert searched(rows["one"]).find(rows["two"], order, known) == ()
    (part,) = searched(rows["one"]).find(rows["jingle"], order, known)
    assert (part.upload, part.start) == ("one", 0)
    (part,) = searched(rows["jingle"]).find(rows["two"], order, known)
    assert part.stop == pytest.approx(3 * RATE, abs=0.3 * RATE)


def test_a_lot_reads_only_what_no_earlier_lot_has_added(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    rows = {f"key {n}": [decoded(str(n), voice(n))] for n in range(3)}
    order, met = {str(n): (1, n) for n in range(3)} | {"copy": (2, 0)}, []

    def read(key: str) -> list[Decoded]:
        met.append(key)
        return rows[key]

    for count in (1, 2, 3):
        prints = searched_by(store, 0, (), list(rows)[:count], read)
    assert met == ["key 0", "key 1", "key 2"]
    known = dict.fromkeys(order, (16000, 6 * RATE))
    (part,) = prints.find(decoded("copy", 0.3 * voice(1)), order, known)
    assert part.upload == "1"
    searched_by(store, 0, (), ["key 2"], read)  # another refresh: nothing is taken over
    assert met[3:] == ["key 2"]
