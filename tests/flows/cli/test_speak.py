"""`voicemill speak` as a user runs it: official files of the real size with random weights, a HuBERT, a recording."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

TEXT = "Dr. Smith paid $3.50. 他说没关系。"


@dataclass(frozen=True)
class Files:
    """Arguments of the command, and the folder of their files."""

    arguments: tuple[object, ...]
    root: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    import torch
    from support.golden import fill
    from transformers import HubertConfig, HubertModel

    from voicemill.model.checkpoints.checkpoint import Checkpoint
    from voicemill.model.checkpoints.writing import write_official
    from voicemill.model.s1.config import S1Config
    from voicemill.model.s1.decoder import Text2Semantic
    from voicemill.model.s2.config import S2Config
    from voicemill.model.s2.synthesizer import Synthesizer

    root = tmp_path_factory.mktemp("voice")
    with torch.device("meta"):
        shapes = [Text2Semantic(S1Config()).state_dict(), Synthesizer(S2Config(), posterior=False).state_dict()]
    s1, s2 = fill(shapes[0], "model."), fill(shapes[1])
    s1["ar_predict_layer.weight"][-1] *= 3  # EOS comes early
    write_official(root / "s1.ckpt", Checkpoint("s1", "v2", s1))
    write_official(root / "s2.pth", Checkpoint("s2", "v2", s2))
    torch.manual_seed(0)
    HubertModel(HubertConfig(num_hidden_layers=1)).save_pretrained(root / "hubert")
    rng = np.random.default_rng(1)
    tone = 0.1 * np.sin(np.arange(4 * 16000) * 0.05) + rng.normal(0, 0.01, 4 * 16000)
    soundfile.write(root / "reference.wav", tone, 16000)
    named = ("--s1", root / "s1.ckpt", "--s2", root / "s2.pth", "--content", root / "hubert")
    return Files(("speak", *named, "--reference", root / "reference.wav", "--text", TEXT), root)


def test_a_text_becomes_a_marked_file_and_its_stream_is_the_same(cli: Any, files: Files, tmp_path: Path) -> None:
    out, streamed = tmp_path / "out.wav", tmp_path / "streamed.wav"
    text = ("--reference-text", "what the recording says", "--language", "en", "--seed", 5)
    ran = cli(*files.arguments, *text, "--out", out, "--json")
    said = json.loads(ran.out)
    wave, rate = soundfile.read(out)
    assert rate == 32000
    assert len(wave) / rate == pytest.approx(said["seconds"], abs=0.001)
    assert [piece["normalised"] for piece in said["pieces"]] == [
        "doctor smith paid three dollars and fifty cents.",
        "他说没关系.",
    ]
    assert "Traceback" not in ran.err
    assert "voicemill: Chinese text without BERT features" in ran.err
    found = json.loads(cli("watermark", "check", out, "--json").out)
    assert found["synthetic"]
    assert found["notice"]["software"].startswith("voicemill")
    flowed = cli(*files.arguments, *text, "--out", streamed, "--stream", "--json")
    assert json.loads(flowed.out)["pieces"] == said["pieces"]
    again, _ = soundfile.read(streamed)
    assert len(again) == len(wave)
    assert np.abs(again - wave).max() < 0.05  # the bound where the renderer computes in bfloat16


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--out", "x.mp3"), "speech is written as .wav"),
        (("--out", "no/such/folder/x.wav"), "mkdir -p"),
        (("--out", "x.wav", "--speed", "9"), "speed = 9.0: expected 0.25 to 4"),
        (("--out", "x.wav", "--text", "@nowhere.txt"), "cannot be read as UTF-8"),
        (("--out", "x.wav", "--precision", "int3"), "precision = 'int3'"),
        (("--out", "x.wav", "--content", "some/model"), "voicemill models fetch some/model"),
        (("--out", "x.wav", "--s1", "none.ckpt"), "none.ckpt is not a file"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_wrong_is_said_in_one_line(cli: Any, files: Files, wrong: tuple[str, ...], words: str) -> None:
    ran = cli(*files.arguments, *wrong, status=2)
    assert words in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
    assert len(ran.err.strip().splitlines()) == 1
