"""Small voices: the networks of v2 with random weights that are functions of their names, in sizes that run at once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.golden import fill

from voicemill.model.device import place
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.engines import engine
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.inference import prepared
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.speaking.voice import Voice
from voicemill.model.speech.content import Encoder
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

DIMS = 32
S1 = S1Config(codes=64, dim=64, heads=4, layers=2)
S2 = S2Config(
    ssl_dim=DIMS,
    codebook=64,
    reference_dim=16,
    style=32,
    mrte_dim=32,
    hidden=32,
    filter=48,
    layers=2,
    flow_layers=2,
    upsample_channels=64,
)


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other after every small layer: on a busy machine that is fifty times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import HubertConfig, HubertModel

    folder = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(0)
    small = {"hidden_size": DIMS, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    HubertModel(
        HubertConfig(**small, conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def voice(hubert: Path) -> Voice:
    s1, s2 = Text2Semantic(S1), Synthesizer(S2, posterior=False)
    s1.load_state_dict(fill(s1.state_dict(), "tiny.model."))
    s2.load_state_dict(fill(s2.state_dict()))
    with torch.no_grad():  # EOS comes early: a test waits for no minute of noise
        s1.ar_predict_layer.weight[S1.eos] *= 2
    plain = place("cpu", "float32")
    return Voice(engine(s1, "reference"), prepared(s2, plain), Encoder.load(hubert, -1, plain))


@pytest.fixture(scope="session")
def recording() -> Wave:
    """Four seconds that are not silent."""
    rng = np.random.default_rng(5)
    wave = np.sin(np.arange(4 * RATE) * 0.03) * 0.2 + rng.normal(0, 0.02, 4 * RATE)
    return np.asarray(wave, np.float32)
