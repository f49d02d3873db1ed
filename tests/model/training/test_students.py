"""How students are made of their teachers: which layers, what is copied, how small the rest is."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import golden
from support.tiny_voice import TRAINED_S1, TRAINED_S2

from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.encoders import ReferenceEncoder
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import DistillSettings
from voicemill.model.training.distil.students import matches, reference_dim, size_of, small_config, small_s1, small_s2
from voicemill.storage.errors import ConfigError


def test_six_of_twenty_four_layers() -> None:
    found = matches(24, 6, (4, 8, 12))
    assert found.start == (4, 8, 12, 16, 20, 24)
    assert found.pairs == ((1, 4), (2, 8), (3, 12))
    assert str(found).endswith("1 matches 4, 2 matches 8, 3 matches 12")


@pytest.mark.parametrize(
    ("depth", "layers", "start", "pairs"),
    [
        (24, 2, (12, 24), ((1, 12),)),
        (24, 24, tuple(range(1, 25)), ((4, 4), (8, 8), (12, 12))),
        (12, 6, (2, 4, 6, 8, 10, 12), ((2, 4), (4, 8), (6, 12))),
        (8, 4, (2, 4, 6, 8), ((1, 2), (2, 4))),  # scaled: 4, 8, 12 of 24 are 2, 3, 4 of 8; layer 2 stands for 3 and 4
        (2, 1, (2,), ((1, 1),)),
        (1, 1, (1,), ((1, 1),)),
    ],
)
def test_other_depths(depth: int, layers: int, start: tuple[int, ...], pairs: tuple[tuple[int, int], ...]) -> None:
    found = matches(depth, layers, (4, 8, 12))
    assert (found.start, found.pairs) == (start, pairs)


@given(st.integers(1, 40), st.data())
def test_every_student_layer_stands_for_some_of_the_teacher_s(depth: int, data: st.DataObject) -> None:
    layers = data.draw(st.integers(1, depth))
    wanted = data.draw(st.lists(st.integers(1, 60), max_size=6))
    found = matches(depth, layers, wanted)
    assert found.start[-1] == depth
    assert all(a < b for a, b in zip((0, *found.start), found.start, strict=False))
    for student, teacher in found.pairs:
        assert (0, *found.start)[student - 1] < teacher <= found.start[student - 1]
    assert bool(found.pairs) == bool(wanted)


def test_more_layers_than_the_teacher_has() -> None:
    with pytest.raises(ConfigError, match=r"distill.layers = 6, and the teacher's s1 has 2: a student has 1 to 2"):
        matches(2, 6, (4, 8, 12))


def test_a_student_of_s1_is_made_of_its_teacher_s_layers() -> None:
    teacher = Text2Semantic(replace(TRAINED_S1, layers=4))
    teacher.load_state_dict(golden.fill(teacher.state_dict(), "tiny.model."))
    student = small_s1(teacher, matches(4, 2, (2,)), 0.2)
    assert (student.config.layers, student.config.dropout) == (2, 0.2)
    theirs = teacher.state_dict()
    for key, value in student.state_dict().items():
        source = key.replace("h.layers.0.", "h.layers.1x.").replace("h.layers.1.", "h.layers.3.").replace("1x", "1")
        assert torch.equal(value, theirs[source])
    whole = small_s1(teacher, matches(4, 4, ()), 0.0).eval()
    given_ = torch.tensor([[1, 2, 3]]), None, torch.tensor([[4, 5]])
    assert torch.equal(whole(*given_), teacher.eval()(*given_))


def test_a_student_of_s2_has_its_own_generator_and_reference_encoder() -> None:
    teacher = Synthesizer(TRAINED_S2)
    teacher.load_state_dict(golden.fill(teacher.state_dict()))
    student = small_s2(teacher, DistillSettings(s2_sizes={"upsample_channels": 64}))
    theirs = teacher.state_dict()
    for key, value in student.state_dict().items():
        own = key.startswith(("dec.", "ref_enc."))
        assert own or torch.equal(value, theirs[key])
        assert not key.startswith("enc_q.")
    for key, parameter in student.named_parameters():
        assert parameter.requires_grad == key.startswith(("dec.", "ref_enc."))


def test_full_size() -> None:
    """The shipped sizes: a third of the reference encoder, a sixth of the generator."""
    small = small_config(S2Config(), DistillSettings())
    with torch.device("meta"):
        teacher, student = Synthesizer(S2Config()), Synthesizer(small, posterior=False)
    assert small.upsample_channels == 256
    assert 0.3 < size_of(student.ref_enc) / size_of(teacher.ref_enc) <= 1 / 3
    assert size_of(student.dec) / size_of(teacher.dec) < 0.17
    larger = ReferenceEncoder(704, small.reference_dim + 2, 512, 0.0)
    assert size_of(larger) / size_of(teacher.ref_enc) > 1 / 3  # it is the largest that is small enough


def test_sizes_that_no_student_has() -> None:
    with pytest.raises(ConfigError, match=r"distill.s2_sizes.hidden: a student differs from its teacher in upsample"):
        small_config(TRAINED_S2, DistillSettings(s2_sizes={"hidden": 16}))
    with pytest.raises(ConfigError, match="upsample_channels"):
        small_config(TRAINED_S2, DistillSettings(s2_sizes={"upsample_channels": 33}))
    assert reference_dim(TRAINED_S2, 1.0) == TRAINED_S2.reference_dim
    with pytest.raises(ConfigError, match="even a reference encoder of 2 channels is larger"):
        reference_dim(TRAINED_S2, 0.001)
