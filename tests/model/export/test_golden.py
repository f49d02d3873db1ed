"""The graphs at their real size against the golden arrays of the original."""

import numpy as np
import pytest
import torch
from support import golden
from support.tiny_graphs import LOOSE, relative_error

from voicemill.model.audio.mel import LogMel
from voicemill.model.checkpoints.sizes import KEY, header
from voicemill.model.export.draft import Precision
from voicemill.model.export.exporting import write_s1, write_s2
from voicemill.model.export.folder import GraphFolder, Manifest, new_folder, read_folder
from voicemill.model.export.rendering import OnnxSynthesizer
from voicemill.model.export.running import OnnxEngine
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.generate import Sampling, generate
from voicemill.model.s1.prefix import Prefix
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    pytest.mark.skipif(not golden.FOLDER.is_dir(), reason="the folder of golden arrays is not here"),
]


def arrays(name: str) -> dict[str, torch.Tensor]:
    with np.load(golden.FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.fixture(scope="module", params=["float32", "int8"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GraphFolder:
    precision: Precision = request.param
    s1, s2 = Text2Semantic(), Synthesizer(S2Config(), posterior=False)
    s1.load_state_dict(golden.fill(s1.state_dict(), "model."))
    s2.load_state_dict(golden.fill(s2.state_dict()))
    path = tmp_path_factory.mktemp("real") / "onnx"
    sizes = {"s1": header(S1Config())[KEY], "s2": header(S2Config())[KEY]}
    counts: dict[str, int] = {}
    with (
        torch.inference_mode(),
        new_folder(
            path,
            precision,
            lambda: Manifest(voice="full", precision=precision, content="", sizes=sizes, parameters=counts),
        ) as to,
    ):
        counts |= {"s1": write_s1(to, s1.eval()), "s2": write_s2(to, s2.eval())}
    return read_folder(path)


def test_s1(folder: GraphFolder) -> None:
    """Without a penalty the smallest margin between the two likeliest codes is 0.29: 8 bits choose the same."""
    gold = arrays("s1_v2_gold")
    bert = golden.inp("s1.bert", (1024, 14))
    bert[:, 8:] = 0
    prefix = Prefix(gold["phones"][0], gold["prompt"][0], bert)
    engine = OnnxEngine(folder)
    tolerance = 1e-4 if engine.bits == 32 else 0.3
    torch.testing.assert_close(engine.begin([prefix], 1).logits, gold["logits"][:, -1], atol=tolerance, rtol=0)
    [made] = generate(engine, [prefix], Sampling(top_k=1, repetition_penalty=1), [0], max_codes=21)
    assert [*prefix.prompt.tolist(), *made.codes.tolist()] == gold["greedy_rep100"][0].tolist()


def test_s2(folder: GraphFolder) -> None:
    gold, s2 = arrays("s2_v2_gold"), OnnxSynthesizer(folder)
    exact = folder.manifest.precision == "float32"
    ge = s2.reference([golden.inp("s2.refer", (1, 1025, 40)).abs()])
    assert relative_error(ge, gold["ge"].reshape(ge.shape)) < LOOSE[folder.manifest.precision]
    assert s2.codes(golden.inp("s2.ssl", (1, 768, 24))).tolist() == gold["codes"][0].tolist()
    for speed, suffix in ((1.0, ""), (1.25, "_speed125")):
        prior = s2.prior(gold["codes"][0], gold["text"], ge, speed)
        torch.testing.assert_close(prior.mean, gold["m_p" + suffix], atol=1e-4 if exact else 0.02, rtol=0)
        wave = s2.waveform(prior.mean, ge)
        expected = gold["wav_n0" + suffix].reshape(wave.shape)
        if exact:
            torch.testing.assert_close(wave, expected, atol=1e-4, rtol=0)
        mel = LogMel()
        assert float((mel.mel(wave) - mel.mel(expected)).abs().mean()) < (1e-3 if exact else 0.05)


def test_8_bits_are_a_quarter_of_s1(folder: GraphFolder) -> None:
    times = 4 * folder.manifest.parameters["s1"] / folder.bytes_of("s1")
    assert times > (3.5 if folder.manifest.precision == "int8" else 0.99)
