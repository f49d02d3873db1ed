"""`voicemill speak` with what a training leaves: a pair of small checkpoints that read MFCC, and adapters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.tiny_voice import write_adapter, write_s1, write_s2

from voicemill.model.checkpoints.loading import load_s1, load_s2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_s1(folder / "s1.safetensors")
    write_s2(folder / "s2.safetensors", lineage={"content": "mfcc"})
    write_adapter(load_s1(folder / "s1.safetensors"), folder / "anna-s1", 1)
    write_adapter(load_s2(folder / "s2.safetensors"), folder / "anna-s2", 2)
    rng = np.random.default_rng(1)
    tone = 0.1 * np.sin(np.arange(4 * 16000) * 0.05) + rng.normal(0, 0.01, 4 * 16000)
    soundfile.write(folder / "reference.wav", tone, 16000)
    return folder


def arguments(root: Path, out: Path, *more: object) -> tuple[object, ...]:
    named = ("--s1", root / "s1.safetensors", "--s2", root / "s2.safetensors", "--reference", root / "reference.wav")
    said = ("--reference-text", "what it says", "--language", "en", "--text", "Good morning.", "--seed", 3)
    return ("speak", *named, *said, "--no-watermark", "--precision", "float32", "--out", out, *more)


def test_a_small_pair_speaks_with_mfcc_and_with_adapters(here: Any, root: Path, tmp_path: Path) -> None:
    """The content encoder comes from the checkpoint or from the option; an adapter changes the samples."""
    adapters = ("--adapter", root / "anna-s1", "--adapter", root / "anna-s2")
    heard = {}
    for name, more in {"plain": (), "mfcc": ("--content", "mfcc"), "anna": adapters}.items():
        said = json.loads(here(*arguments(root, tmp_path / f"{name}.wav", "--json", *more)).out)
        heard[name], rate = soundfile.read(tmp_path / f"{name}.wav")
        assert rate == 32000
        assert len(heard[name]) / rate == pytest.approx(said["seconds"], abs=0.001)
        assert said["seconds"] > 0.4
    assert np.array_equal(heard["plain"], heard["mfcc"])
    assert len(heard["anna"]) != len(heard["plain"]) or np.abs(heard["anna"] - heard["plain"]).max() > 0.01


def test_what_does_not_fit_is_said_in_one_line(here: Any, root: Path, tmp_path: Path) -> None:
    write_s1(tmp_path / "other.safetensors", prefix="other.")
    base = ("--s1", tmp_path / "other.safetensors")
    for more, words in (
        ((*base, "--adapter", root / "anna-s1"), "made for another base of s1"),
        (("--adapter", root / "anna-s1", "--adapter", root / "anna-s1"), "both adapters of s1"),
        (("--adapter", root), "not the folder of an adapter"),
        (("--content", "./no-model"), "no folder"),
    ):
        ran = here(*arguments(root, tmp_path / "x.wav"), *more, status=2)
        assert words in " ".join(ran.err.split())
        assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "x.wav").exists()
