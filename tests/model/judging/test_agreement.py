"""How far a student is from its teacher: nothing from itself, all of it from strangers, and step by step as by hand."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny_voice

from voicemill.model.judging.agreement import agreement, agreements, likeliest
from voicemill.model.judging.testset.clips import Clip
from voicemill.model.judging.testset.testset import Sentence, TestSet
from voicemill.model.s1.engines import engine
from voicemill.model.s1.prefix import Prefix
from voicemill.model.speaking.loading import load_voice
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

SHORT = SpeakOptions(max_codes=24)
WORDS = "The small garden."


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recording() -> Wave:
    time = np.arange(int(3.2 * RATE)) / RATE
    noise = np.random.default_rng(4).normal(0, 0.02, len(time))
    return (0.2 * np.sin(2 * np.pi * 160 * time) * (1 + np.sin(6 * time)) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Voice, Voice]:
    """A teacher, and a stranger of other weights."""
    folder = tmp_path_factory.mktemp("voices")

    def loaded(name: str, prefix: str, s2: Path) -> Voice:
        s1 = tiny_voice.write_s1(folder / f"{name}-s1.safetensors", prefix=prefix)
        return load_voice(s1, s2, content="mfcc", precision="float32", device="cpu")

    small = replace(tiny_voice.SPEAKING_S2, resblock_kernels=(3,), resblock_dilations=(1,))
    s2 = tiny_voice.write_s2(folder / "s2.safetensors", small)
    other = tiny_voice.write_s2(folder / "o2.safetensors", replace(small, upsample_channels=32))
    return loaded("one", "tiny.model.", s2), loaded("other", "other.model.", other)


def test_a_voice_agrees_with_itself(voices: tuple[Voice, Voice], recording: Wave) -> None:
    found = agreement(voices[0], voices[0], WORDS, [recording], options=SHORT)
    assert (found.tokens, found.log_mel) == (1.0, 0.0)
    assert 11 < found.places <= 25
    assert found.frames == 2 * (found.places - 1)


def test_strangers_do_not(voices: tuple[Voice, Voice], recording: Wave) -> None:
    found = agreement(*voices, WORDS, [recording], "A tone and some noise.", "en", options=SHORT)
    assert found.tokens < 0.5
    assert found.log_mel > 0.3
    assert agreement(*voices, WORDS, [recording], "A tone and some noise.", "en", options=SHORT) == found


def test_the_likeliest_codes_are_those_of_the_whole_forward_pass(voices: tuple[Voice, Voice]) -> None:
    from voicemill.model.s1.decoder import Text2Semantic

    network = Text2Semantic(tiny_voice.SPEAKING_S1).eval()
    phones, prompt, codes = torch.arange(5) + 3, torch.tensor([7, 1]), torch.tensor([4, 9, 60, 2])
    with torch.no_grad():
        logits = network(phones[None], None, torch.cat([prompt, codes])[None])[0]
    found = likeliest(engine(network, "float32"), Prefix(phones, prompt), codes)
    assert found.tolist() == logits[len(prompt) :].argmax(-1).tolist()


def test_of_a_test_set(voices: tuple[Voice, Voice], recording: Wave) -> None:
    clip = Clip("r", recording, "", "en")
    sentences = tuple(
        Sentence(id=name, text=text, language="en", speaker="ann", recording=None, reference=clip)
        for name, text in (("a", WORDS), ("b", "..."), ("c", "A hill."))
    )
    found = agreements(*voices, TestSet(sentences, 1, ()), SHORT)
    assert {name: set(items) for name, items in found.items.items()} == {
        "token_agreement": {"a", "c"},
        "log_mel_distance": {"a", "c"},
    }
    assert not found.missing
    assert set(found.totals) == {"token_agreement", "log_mel_distance"}
    nothing = agreements(*voices, TestSet(sentences[1:2], 1, ()), SHORT)
    assert "nothing to say" in nothing.missing["token_agreement"]


def test_a_voice_without_codes_has_no_agreement(voices: tuple[Voice, Voice]) -> None:
    class Light:
        """Any other kind of voice."""

    found = agreements(voices[0], Light(), TestSet((), 1, ()), SHORT)  # type: ignore[arg-type]
    assert found.items == {}
    assert "the light system has none" in found.missing["token_agreement"]
