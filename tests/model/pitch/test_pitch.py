"""F0 engines on tones of known pitch, and invariants of each engine."""

import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from voicemill.model.judging.judges import JudgeSettings
from voicemill.model.pitch.engines import ENGINES, Tracker, tracker, weights_file
from voicemill.model.pitch.grid import HOP, frames_of, regrid
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE
from voicemill.tasks.stages.f0 import Settings as F0Settings

ROOT = Path(__file__).resolve().parents[3]

QUICK = ("swift", "autocorrelation")
EXTRA = {name: engine.package for name, engine in ENGINES.items() if engine.extra}


def there(engine: str) -> bool:
    return engine not in EXTRA or importlib.util.find_spec(EXTRA[engine]) is not None


@pytest.fixture(scope="module")
def engine() -> Callable[[str], Tracker]:
    made: dict[str, Tracker] = {}
    return lambda name: made.setdefault(name, tracker(name, 60.0, 800.0))


def harmonics(hertz: NDArray[np.float64]) -> NDArray[np.float32]:
    """A buzz with the pitch `hertz` [samples], silent where it is 0."""
    phase = np.cumsum(hertz) / RATE * 2 * np.pi
    wave = sum(np.sin(k * phase + k) / k * (k * hertz < 7000) for k in range(1, 30))
    return (0.1 * wave * (hertz > 0)).astype(np.float32)


def glide(start: float, stop: float, seconds: float = 1.2) -> NDArray[np.float64]:
    return np.geomspace(start, stop, int(seconds * RATE))


def at_frames(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return hertz[np.arange(frames_of(len(hertz))) * HOP + HOP // 2]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("start", "stop"), [(90.0, 140.0), (330.0, 200.0)])
def test_a_glide_is_followed_on_the_grid(
    name: str, start: float, stop: float, engine: Callable[[str], Tracker]
) -> None:
    if not there(name):
        pytest.skip(f"{EXTRA[name]} is an extra")
    truth = glide(start, stop)
    (found,) = engine(name).track([harmonics(truth)])
    assert found.dtype == np.float32
    inner = slice(12, -12)
    cents = 1200 * np.log2(found[inner] / at_frames(truth)[inner])
    assert np.abs(cents).max() < 35
    assert abs(np.median(cents)) < 6  # half a frame of shift would be 18 cents on these glides


@pytest.mark.parametrize("name", QUICK)
def test_silence_and_noise_are_unvoiced(name: str, engine: Callable[[str], Tracker]) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    silence, hiss = engine(name).track([np.zeros(RATE, np.float32), noise])
    assert not silence.any()
    assert (hiss > 0).mean() < 0.1


@pytest.mark.parametrize("name", QUICK)
def test_voicing_begins_and_ends_with_the_voice(name: str, engine: Callable[[str], Tracker]) -> None:
    truth = np.concatenate([np.zeros(RATE // 2), glide(120, 180, 0.8), np.zeros(RATE // 2)])
    (found,) = engine(name).track([harmonics(truth)])
    assert int(((found > 0) != (at_frames(truth) > 0)).sum()) <= 6


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=5), st.integers(0, 1000))
def test_a_wave_is_tracked_alike_in_any_company(name: str, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    waves = [
        harmonics(np.geomspace(*rng.uniform(80, 400, 2), n)) + (0.02 * rng.standard_normal(n)).astype(np.float32)
        for n in lengths
    ]
    made = tracker(name, 60.0, 800.0)
    together = made.track(waves)
    for wave, path in zip(waves, together, strict=True):
        assert len(path) == frames_of(len(wave))
        np.testing.assert_array_equal(made.track([wave])[0], path)
        voiced = path[path > 0]
        assert ((voiced >= 60) & (voiced <= 800)).all()


@pytest.mark.parametrize("seconds", [16.1, 33.3, 50.0])
def test_windows_of_swift_join_without_a_seam(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = 0.01 * np.random.default_rng(1).standard_normal(int(seconds * RATE))
    wave = harmonics(glide(100, 300, seconds)) + noise.astype(np.float32)
    (windowed,) = tracker("swift", 60.0, 800.0, precision="float32").track([wave])
    monkeypatch.setattr("voicemill.model.pitch.swift.WINDOW", 100_000)
    (whole,) = tracker("swift", 60.0, 800.0, precision="float32").track([wave])
    np.testing.assert_allclose(windowed, whole, rtol=1e-4)


def test_regrid_interpolates_in_octaves_and_never_across_into_silence() -> None:
    at = np.array([0.0, 0.016, 0.032, 0.048])
    hertz = np.array([100.0, 400.0, 90.0, 90.0])
    found = regrid(at, hertz, np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.008, 0.016, 0.03, 0.048]), 0.5)
    np.testing.assert_allclose(found, [200, 400, 0, 0], rtol=1e-6)


def test_an_unknown_engine_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="autocorrelation"):
        tracker("crepe", 60.0, 800.0)


@pytest.mark.parametrize("name", sorted(EXTRA))
def test_a_missing_extra_is_an_error_that_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # as where the extra is not installed
    with pytest.raises(ConfigError, match=r"voicemill\[compare\]"):
        tracker(name, 60.0, 800.0)


def test_the_default_engine_has_a_model_file() -> None:
    file = weights_file("swift")
    assert file is not None
    assert file.stat().st_size > 100_000
    assert weights_file("autocorrelation") is None


def test_the_list_of_engines_is_written_once() -> None:
    """Settings take the names of the table; its extras are those of the project."""
    for model, field in ((F0Settings, "engine"), (JudgeSettings, "f0_engine")):
        assert model.model_json_schema()["properties"][field]["enum"] == list(ENGINES)
        with pytest.raises(ValidationError, match="'swift', 'autocorrelation'"):
            model.model_validate({field: "crepe"})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {engine.extra for engine in ENGINES.values()} - {""} <= set(project["optional-dependencies"])


def test_the_table_imports_no_engine() -> None:
    code = (
        "import sys; from voicemill.model.pitch.engines import weights_file; weights_file('swift'); "
        "print(sorted({'torch', 'numpy', 'librosa', 'onnxruntime'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
