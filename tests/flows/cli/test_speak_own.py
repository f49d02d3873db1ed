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


def test_pauses_pieces_and_subtitles(here: Any, root: Path, tmp_path: Path) -> None:
    text = "It rains, he waits. Go on.[pause:0.7s] Why not? They left."
    cutting = ("--text", text, "--split", "punctuation", "--pause", 0.2)
    more = (*cutting, "--times", "words", "--look-ahead", 0.32)
    said = json.loads(here(*arguments(root, tmp_path / "x.wav", *more, "--json", "--srt", tmp_path / "x.srt")).out)
    pieces = said["pieces"]
    assert [piece["text"] for piece in pieces] == ["It rains,", "he waits.", "Go on.", "Why not?", "They left."]
    starts = [piece["start"] for piece in pieces[1:]]
    gaps = [start - piece["stop"] for start, piece in zip(starts, pieces, strict=False)]
    assert gaps == pytest.approx([0.2, 0.2, 0.7, 0.2], abs=1e-4)
    for piece in pieces:  # the voice is noise: where the aligner finds a path at all, its words lie in the piece
        for word in piece["words"]:
            assert piece["start"] - 0.001 <= word["start"] <= word["stop"] <= piece["stop"] + 0.001
    blocks = (tmp_path / "x.srt").read_text("utf-8").strip().split("\n\n")
    assert len(blocks) == sum(max(1, len(piece["words"])) for piece in pieces)
    assert blocks[0].startswith("1\n00:00:00,")
    streamed = here(*arguments(root, tmp_path / "y.wav", *more, "--json", "--stream", "--srt", tmp_path / "y.srt"))
    assert json.loads(streamed.out)["pieces"] == pieces
    assert (tmp_path / "y.srt").read_text("utf-8") == (tmp_path / "x.srt").read_text("utf-8")
    assert np.abs(soundfile.read(tmp_path / "y.wav")[0] - soundfile.read(tmp_path / "x.wav")[0]).max() < 1e-3


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
