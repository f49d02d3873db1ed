"""The losses of a student, against values written out by hand; padding never counts."""

import math

import pytest
import torch
from torch import Tensor

from voicemill.model.training.distil.losses import (
    attention_divergence,
    feature_distance,
    frame_distance,
    hidden_distance,
    log_mel_distance,
    soft_targets,
    voice_distance,
)


def test_soft_targets_by_hand() -> None:
    """Two classes. Teacher 2:1 and student 1:1, as probabilities at T = 1: KL = 2/3 ln(4/3) + 1/3 ln(2/3)."""
    teacher, student = torch.tensor([[[math.log(2.0), 0.0]]]), torch.zeros(1, 1, 2)
    expected = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)
    real = torch.tensor([[True]])
    assert soft_targets(student, teacher, real, 1.0).tolist() == [pytest.approx(expected, abs=1e-7)]
    # at T = 1.5 the teacher says 2^(1/1.5) : 1
    high = 2 ** (1 / 1.5)
    first, second = high / (high + 1), 1 / (high + 1)
    softened = first * math.log(2 * first) + second * math.log(2 * second)
    assert soft_targets(student, teacher, real, 1.5).tolist() == [pytest.approx(2.25 * softened, abs=1e-7)]
    assert 2.25 * softened == pytest.approx(0.0584908, abs=1e-6)


def test_soft_targets_sum_over_places_and_leave_padding_out() -> None:
    teacher = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0], [0.0, math.log(3.0)]]])
    each = 3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2)
    student = torch.zeros(1, 3, 2)
    assert soft_targets(student, teacher, torch.tensor([[True, True, True]]), 1.0).item() == pytest.approx(2 * each)
    student[0, 2] = math.nan
    assert soft_targets(student, teacher, torch.tensor([[True, True, False]]), 1.0).item() == pytest.approx(each)


def test_gradient_of_soft_targets_is_the_difference_of_the_probabilities() -> None:
    """T^2 KL has the gradient T (q - p): of the size of that at T = 1 (Hinton et al. 2015, section 2.1)."""
    teacher, student = torch.tensor([[[1.0, -0.5, 0.2]]]), torch.tensor([[[0.3, 0.1, -0.9]]], requires_grad=True)
    soft_targets(student, teacher, torch.tensor([[True]]), 1.5).sum().backward()
    wanted = 1.5 * ((student / 1.5).softmax(-1) - (teacher / 1.5).softmax(-1))
    assert student.grad is not None
    torch.testing.assert_close(student.grad, wanted.detach())


def test_hidden_distance_by_hand() -> None:
    """Two places of two channels, differences 1, 3 and 0, 2: mean squares 5 and 2; the second row has one place."""
    student = torch.tensor([[[1.0, 3.0], [0.0, 2.0]], [[2.0, 0.0], [9.0, math.inf]]])
    found = hidden_distance(student, torch.zeros(2, 2, 2), torch.tensor([[True, True], [True, False]]))
    assert found.tolist() == [3.5, 2.0]


def test_attention_divergence_by_hand() -> None:
    """One head sees 3:1 where the student sees 1:1, the other sees the same: half of that KL. The other query is
    padding."""
    wanted = torch.tensor([[[[0.75, 0.25], [0.9, 0.1]], [[0.5, 0.5], [0.9, 0.1]]]]).log()
    said = torch.full((1, 2, 2, 2), 0.5).log()
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    assert attention_divergence(said, wanted, torch.tensor([[True, False]])).tolist() == [pytest.approx(expected)]


def test_what_is_not_seen_costs_nothing() -> None:
    scores = torch.tensor([[[[0.4, -0.2, -1e4]]]])
    other = torch.tensor([[[[0.1, 0.3, -1e4]]]], requires_grad=True)
    real = torch.tensor([[True]])
    found = attention_divergence(other.log_softmax(-1), scores.log_softmax(-1), real)
    shorter = attention_divergence(other[..., :2].log_softmax(-1), scores[..., :2].log_softmax(-1), real)
    torch.testing.assert_close(found, shorter)
    found.sum().backward()
    assert other.grad is not None
    assert other.grad[..., 2].item() == 0


def test_distances_of_waveforms_by_hand() -> None:
    teacher = torch.tensor([[[2.0, -4.0], [0.0, 2.0]]])
    student = torch.tensor([[[1.0, -4.0], [1.0, 0.0]]])
    assert feature_distance(student, teacher).tolist() == [0.5]  # mean |difference| 1, mean |teacher| 2
    assert voice_distance(student, teacher).tolist() == [0.25]  # 6 of 24
    assert log_mel_distance(student, teacher).tolist() == [1.0]
    assert frame_distance(student, teacher, torch.tensor([[True, False]])).tolist() == [1.0]
    assert frame_distance(student, teacher, torch.tensor([[False, True]])).tolist() == [1.0]


@pytest.mark.parametrize("silent", [torch.zeros(1, 2, 2)])
def test_a_silent_teacher_divides_by_nothing(silent: Tensor) -> None:
    assert feature_distance(silent, silent).tolist() == [0.0]
    assert voice_distance(silent, silent).tolist() == [0.0]
    assert feature_distance(silent + 1, silent).isfinite().all()


def test_no_gradient_flows_to_the_teacher() -> None:
    teacher = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    student = torch.zeros(1, 2, 3, requires_grad=True)
    real, seen = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    terms = [soft_targets(student, teacher, real, 1.5), hidden_distance(student, teacher, real)]
    terms += [attention_divergence(student[:, None], teacher[:, None], real), frame_distance(student, teacher, seen)]
    terms += [loss(student, teacher) for loss in (feature_distance, voice_distance, log_mel_distance)]
    for term in terms:
        assert term.item() > 0
        term.sum().backward()
    assert teacher.grad is None
