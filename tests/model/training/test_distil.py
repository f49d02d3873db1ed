"""Students against teachers: what a lesson is made of, parts that add up, padding; teaching reaches the teacher."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from support import golden
from support.minibatches import batch_of, part_of
from support.tiny_voice import TRAINED_S1, TRAINED_S2
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import DistillSettings, LoopSettings, S2Settings
from voicemill.model.training.distil.joint import JointDistillation, draw_codes
from voicemill.model.training.distil.s1 import S1Distillation, attend, draw_queries
from voicemill.model.training.distil.s2 import S2Distillation
from voicemill.model.training.distil.students import matches, small_s1, small_s2
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.ranks import Ranks
from voicemill.model.training.objectives.s1 import Coder
from voicemill.storage.errors import ConfigError

SETTINGS = DistillSettings(layers=1, student_layers=(2,), attention_queries=5, s2_sizes={"upsample_channels": 64})


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def teacher_s1() -> Text2Semantic:
    network = Text2Semantic(TRAINED_S1)
    network.load_state_dict(golden.fill(network.state_dict(), "tiny.model."))
    return network.eval()


def teacher_s2() -> Synthesizer:
    network = Synthesizer(TRAINED_S2)
    network.load_state_dict(golden.fill(network.state_dict()))
    return network.eval()


def of_s1(settings: DistillSettings = SETTINGS, student: Text2Semantic | None = None) -> S1Distillation:
    teacher = teacher_s1()
    found = matches(teacher.config.layers, settings.layers, settings.student_layers)
    student = student or small_s1(teacher, found, 0.0)
    return S1Distillation(student, teacher, found, Coder(teacher_s2()), settings)


def of_s2(settings: DistillSettings = SETTINGS, *, judged: bool = False, whole: bool = False) -> S2Distillation:
    torch.manual_seed(3)
    teacher = teacher_s2()
    judges = Discriminators(TRAINED_S2) if judged else None
    coder = Coder(teacher)
    return S2Distillation(
        small_s2(teacher, settings),
        teacher,
        judges,
        lambda batch: coder(batch.content, batch.lengths),
        S2Settings(),
        settings,
        whole=whole,
    )


def of_both(*, judged: bool = False) -> JointDistillation:
    return JointDistillation(of_s1(), of_s2(judged=judged, whole=True))


def gradients(objective: Objective, parts: list[Minibatch]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Terms and gradients of every round, means over parts."""
    terms: dict[str, list[Tensor]] = {}
    slopes: dict[str, Tensor] = {}
    for name in objective.rounds:
        for module in objective.modules.values():
            module.zero_grad()
        for part in parts:
            found = objective.losses(name, part)
            for term, value in found.items():
                terms.setdefault(f"{name}/{term}", []).append(value.detach())
            (torch.stack(list(found.values())).sum() / len(parts)).backward()
        for key, weight in objective.modules[name].named_parameters():
            if weight.grad is not None:
                slopes[f"{name}/{key}"] = weight.grad.clone()
    return {term: torch.stack(values).mean() for term, values in terms.items()}, slopes


def steps(
    objective: Objective, batch: Minibatch, count: int, rate: float, *, other_seeds: bool = False
) -> list[dict[str, float]]:
    """Terms before each step; `other_seeds`: other places and noises in each."""
    optimisers, found = objective.optimisers(rate), []
    for number in range(count):
        if other_seeds:
            batch = replace(batch, seeds=batch.seeds + 1000 * number + 1)
        terms: dict[str, float] = {}
        for name in objective.rounds:
            for module in objective.modules.values():
                module.train().zero_grad()
            losses = objective.losses(name, batch)
            torch.stack(list(losses.values())).sum().backward()
            optimisers[name].step()
            terms |= {f"{name}/{term}": value.item() for term, value in losses.items()}
        found.append(terms)
    return found


KINDS = {"s1": of_s1, "s2": lambda: of_s2(judged=True), "joint": lambda: of_both(judged=True)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [[[0, 2, 3], [1]], [[3], [1], [0], [2]]])
def test_the_mean_over_parts_is_the_whole(kind: str, rows: list[list[int]]) -> None:
    """So neither padding nor company changes a term or a gradient."""
    objective, batch = KINDS[kind](), batch_of([20, 9, 13, 31])
    whole, slopes = gradients(objective, [batch])
    parts, again = gradients(objective, [part_of(batch, some, len(rows)) for some in rows])
    assert set(whole) == set(parts)
    assert all(value > 0 for value in whole.values())
    for term, value in whole.items():
        torch.testing.assert_close(parts[term], value, rtol=2e-4, atol=1e-6)
    assert set(slopes) == set(again)
    scale = max(float(slope.abs().max()) for slope in slopes.values())
    for key, slope in slopes.items():
        torch.testing.assert_close(again[key], slope, rtol=1e-2, atol=1e-4 * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_what_moves_and_what_stays(kind: str) -> None:
    objective, batch = KINDS[kind](), batch_of([20, 13])
    before = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in objective.modules.items()}
    teachers = [each.state_dict() for each in (teacher_s1(), teacher_s2())]
    steps(objective, batch, 2, 1e-3)
    for name, module in objective.modules.items():
        moved = {key for key, value in module.state_dict().items() if not torch.equal(value, before[name][key])}
        assert moved
        if name == "s2":
            assert all(key.startswith(("student.dec.", "student.ref_enc.", "hints.")) for key in moved)
    own = [getattr(objective, "s1", objective), getattr(objective, "s2", objective)]
    if isinstance(own[0], S1Distillation):
        assert all(torch.equal(own[0].lesson._teacher[0].state_dict()[k], v) for k, v in teachers[0].items())
    if isinstance(own[1], S2Distillation):
        assert all(torch.equal(own[1].lesson.teacher.state_dict()[k], v) for k, v in teachers[1].items())


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_its_checkpoint_is_the_student_alone(kind: str) -> None:
    objective, batch = KINDS[kind](), batch_of([24, 18])
    first = objective.validate(batch)
    steps(objective, batch, 15, 3e-3)
    for module in objective.modules.values():
        module.eval()
    last = objective.validate(batch)
    assert last["loss"] < 0.9 * first["loss"]
    assert all(last[f"{name}/weight"] > 0 for name in last if not name.endswith("/weight"))
    for stem, checkpoint in objective.checkpoints({"of": "test"}).items():
        assert not any(key.startswith(("student.", "hints.")) for key in checkpoint.weights)
        whole = {"s1": Text2Semantic, "s2": lambda config: Synthesizer(config, posterior=False)}
        if stem in whole:
            student = whole[stem](getattr(objective, stem, objective).lesson.student.config)
            student.load_state_dict(dict(checkpoint.weights))
    sample = objective.sample(batch)
    assert sample.images


def test_attention_rows_are_those_of_the_layer() -> None:
    """Weights x values, projected, is what the layer's own attention gives at those places."""
    layer, generator = teacher_s1().h.layers[0], torch.Generator().manual_seed(5)
    x = torch.randn(2, 7, TRAINED_S1.dim, generator=generator)
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    places = torch.tensor([[0, 3, 6], [6, 5, 1]])
    result, logs = attend(layer, x, mask, places)
    torch.testing.assert_close(result, layer(x, mask))
    q, k, v = layer.self_attn.project(x)
    whole = layer.self_attn.mix(q, k, v, mask)
    mine = layer.self_attn.out_proj((logs.exp() @ v).transpose(1, 2).flatten(2))
    for row in range(2):
        torch.testing.assert_close(mine[row], whole[row, places[row]])


def test_queries_are_real_places_evenly_spaced() -> None:
    batch = batch_of([40, 8])
    found = draw_queries(batch, [20, 4], 12)
    phones = batch.phones.shape[1]
    text = batch.phone_lengths.tolist()
    assert found.real.sum(-1).tolist() == [12, 6]
    for row, codes in enumerate((20, 4)):
        for place in found.places[row][found.real[row]].tolist():
            assert place < text[row] or phones <= place < phones + codes
    assert len(set(found.places[0].tolist())) == 12
    assert torch.equal(draw_queries(batch, [20, 4], 12).places, found.places)


def test_a_copy_of_the_teacher_has_nothing_to_learn() -> None:
    settings = SETTINGS.model_copy(update={"layers": 2, "student_layers": (1, 2)})
    rows = of_s1(settings).traces(batch_of([20, 9, 13]))[1]
    for term in (rows.soft, rows.hidden, rows.attention):
        assert term.abs().max() < 1e-6
    assert rows.agreed.tolist() == [11, 5, 7]
    objective = of_s2(DistillSettings(s2_sizes={}, reference_share=1.0))
    own = {k: v for k, v in teacher_s2().state_dict().items() if not k.startswith("enc_q.")}
    objective.lesson.student.load_state_dict(own)
    found = objective.validate(batch_of([20, 9, 13]))
    assert found["log_mel"] < 1e-5
    assert found["voice"] < 1e-10


def test_codes_are_drawn_from_what_the_student_says() -> None:
    logits = torch.tensor([[[2.0, 0.0, -1.0]]]).expand(1, 4000, 3)
    counts = draw_codes(logits, torch.tensor([11]))[0].bincount(minlength=3) / 4000
    torch.testing.assert_close(counts, logits[0, 0].softmax(-1), atol=0.02, rtol=0)
    seeds = torch.tensor([4, 4])
    found = draw_codes(torch.zeros(2, 6, 3), seeds)
    assert torch.equal(found[0], found[1])
    assert torch.equal(draw_codes(torch.zeros(1, 3, 3), seeds[:1])[0], found[0, :3])


def test_students_that_do_not_fit() -> None:
    other = Text2Semantic(replace(TRAINED_S1, dim=16, layers=1))
    with pytest.raises(ConfigError, match="12 codes, 16 channels and 4 heads, its teacher 12, 32 and 4"):
        of_s1(student=other)
    teacher = teacher_s2()
    student = Synthesizer(replace(TRAINED_S2, codebook=9), posterior=False)
    with pytest.raises(ConfigError, match="differs from its teacher in codebook"):
        S2Distillation(student, teacher, None, lambda batch: (batch.phones, []), S2Settings(), SETTINGS)


@pytest.mark.parametrize("kind", KINDS)
def test_in_half_precision_the_losses_are_nearly_the_same(kind: str) -> None:
    """Student and teacher both compute in bfloat16, inside the forward of the module that the training knows. An
    untrained generator is nearly silent: the logarithm of its mel is what differs most."""
    batch, exact, half = batch_of([20, 13]), KINDS[kind](), KINDS[kind]()
    ranks = Ranks(LoopSettings(precision="bfloat16"))
    for module in half.modules.values():
        ranks.put(module)
    for name in exact.rounds:
        found, rough = exact.losses(name, batch), half.losses(name, batch)
        assert all(value.dtype == torch.float32 for value in rough.values())
        total, other = (torch.stack(list(terms.values())).sum() for terms in (found, rough))
        assert total != other
        torch.testing.assert_close(other, total, rtol=0.3, atol=0.05)


# nightly: longer utterances, 2,400 steps
@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "rates", "count"),
    [
        ([20, 13], (3e-3, 1e-3, 3e-4, 1e-4), 125),
        pytest.param([40, 26, 33], (3e-3, 1e-3, 3e-4, 1e-4, 1e-4, 3e-5), 400, marks=pytest.mark.nightly),
    ],
)
def test_a_student_of_the_teacher_s_size_reaches_its_outputs(
    frames: list[int], rates: tuple[float, ...], count: int
) -> None:
    """From other weights: what both say is the same, code by code, and so is how they attend. The soft targets alone:
    the codes of this corpus are noise, and the teacher, which never saw them, does not say them."""
    settings = DistillSettings(layers=2, student_layers=(1, 2), alpha=1.0, hidden_weight=1.0, attention_weight=1.0)
    torch.manual_seed(1)
    objective = of_s1(settings, Text2Semantic(TRAINED_S1))
    batch = batch_of(frames)
    first = objective.validate(batch)
    # so long that places where the teacher nearly ties two codes (.0026 of probability) agree on any processor
    for rate in rates:
        steps(objective, batch, count, rate)
    last = objective.validate(batch)
    tokens = last["loss/weight"]
    assert first["agreement"] / tokens < 0.5
    assert last["agreement"] / tokens == 1.0
    assert last["soft"] / tokens < 1e-3 < first["soft"] / tokens
    assert last["hidden"] < 0.01 * first["hidden"]
    assert last["attention"] < 0.02 * first["attention"]


# nightly: longer utterances, twice as many steps
@pytest.mark.slow
@pytest.mark.parametrize(("frames", "count"), [([12, 9], 100), pytest.param([24, 18], 200, marks=pytest.mark.nightly)])
def test_a_waveform_of_the_teacher_s_size_reaches_the_teacher_s(frames: list[int], count: int) -> None:
    """Generator and reference encoder from other weights, on two utterances: log-mel distance of the pieces that it was
    given, and of all that is spoken, from codes and recording to waveform."""
    settings = DistillSettings(s2_sizes={}, reference_share=1.0)
    objective, batch = of_s2(settings), batch_of(frames)
    before, first = spoken_distance(objective, batch), objective.validate(batch)
    for rate in (3e-3, 1e-3, 3e-4):
        steps(objective, batch, count, rate, other_seeds=True)
    after, last = spoken_distance(objective, batch), objective.validate(batch)
    assert last["log_mel"] < 0.25 * first["log_mel"]
    assert last["log_mel"] / len(batch) < 0.4
    assert last["voice"] / len(batch) < 1e-2 < first["voice"] / len(batch)
    assert after < min(0.5, 0.25 * before)


def spoken_distance(objective: S2Distillation, batch: Minibatch) -> float:
    """Mean |difference| of the log-mels of what teacher and student say of the first example, nepers."""
    mel, sample = LogMel(), objective.sample(batch)
    heard = [mel.mel(torch.from_numpy(sample.waves[name])[None]) for name in ("teacher", "student")]
    return float((heard[0] - heard[1]).abs().mean())
