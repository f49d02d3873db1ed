"""The tiny voice that speaks text, its content encoder and a recording."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_speech_models import ENCODER_DIMS, tiny_encoder
from support.tiny_voice import SPEAKING_S1, SPEAKING_S2, tiny_s1, tiny_s2

from voicemill.model.content.pretrained import Encoder
from voicemill.model.device import place
from voicemill.model.s1.engines import engine
from voicemill.model.s2.inference import prepare
from voicemill.model.speaking.voice import Voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

S2 = replace(SPEAKING_S2, ssl_dim=ENCODER_DIMS)


@pytest.fixture(scope="session")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("hubert"))


@pytest.fixture(scope="session")
def voice(hubert: Path) -> Voice:
    # EOS comes early: a test does not wait for a minute of noise
    s1, s2 = tiny_s1(SPEAKING_S1, eos=2), tiny_s2(S2, posterior=False)
    plain = place("cpu", "float32")
    return Voice(engine(s1, "reference"), prepare(s2, plain), Encoder.load(hubert, -1, plain))


@pytest.fixture(scope="session")
def silent_eos(voice: Voice) -> Voice:
    """The voice with an s1 that never ends by itself."""
    s1 = tiny_s1(SPEAKING_S1, eos=2)
    with torch.no_grad():
        s1.ar_predict_layer.weight[-1] = 0  # a logit of 0 is not among the 15 highest
    return Voice(engine(s1, "reference"), voice.s2, voice.content)


@pytest.fixture(scope="session")
def recording() -> Wave:
    """Four seconds of a tone in noise."""
    rng = np.random.default_rng(5)
    wave = np.sin(np.arange(4 * RATE) * 0.03) * 0.2 + rng.normal(0, 0.02, 4 * RATE)
    return np.asarray(wave, np.float32)
