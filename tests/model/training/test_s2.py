"""The training of s2: the golden step, parts that add up, what moves, and that it learns."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.golden import FOLDER, fill, inp
from support.minibatches import batch_of, golden_batch, part_of
from support.tiny_voice import TRAINED_S2
from torch import Tensor, nn

from voicemill.model.adapters.adapting import adapt
from voicemill.model.audio.mel import LogMel
from voicemill.model.checkpoints.checkpoint import read
from voicemill.model.checkpoints.loading import load_discriminators, load_s2
from voicemill.model.checkpoints.writing import write
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Adaptation, S2Settings
from voicemill.model.training.objectives.s2 import S2Objective, draw_noise
from voicemill.model.training.objectives.waveform_losses import ReferenceVoice
from voicemill.storage.errors import ConfigError

ALL = S2Settings(f0_weight=1.0, speaker_weight=0.8)
"""Every term."""
ALONE = S2Settings(discriminator=False)
"""Without the discriminators."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(settings: S2Settings = ALL, config: S2Config = TRAINED_S2) -> S2Objective:
    network, judges = Synthesizer(config), Discriminators(config)
    network.load_state_dict(fill(network.state_dict()))
    judges.load_state_dict(fill(judges.state_dict(), "D."))
    voice = ReferenceVoice(network.ref_enc) if settings.speaker_weight else None
    return S2Objective(network, judges if settings.discriminator else None, settings, voice)


def summed(objective: S2Objective, parts: list[Minibatch]) -> dict[str, Tensor]:
    """The loss of every round: means over the parts."""
    found: dict[str, list[Tensor]] = {}
    for name in objective.rounds:
        for part in parts:
            for term, value in objective.losses(name, part).items():
                found.setdefault(term, []).append(value)
    return {term: torch.stack(values).mean() for term, values in found.items()}


def steps(objective: S2Objective, batch: Minibatch, count: int, rate: float) -> list[dict[str, float]]:
    """Terms before each step."""
    optimisers, found = objective.optimisers(rate), []
    for _ in range(count):
        terms: dict[str, float] = {}
        for name in objective.rounds:
            for module in objective.modules.values():
                module.train().zero_grad()
            losses = objective.losses(name, batch)
            sum(losses.values()).backward()  # type: ignore[union-attr]
            optimisers[name].step()
            terms |= {term: value.item() for term, value in losses.items()}
        found.append(terms)
    return found


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/gptsovits is not here; the other tests need nothing of it")
def test_the_golden_training_step() -> None:
    gold = dict(np.load(FOLDER / "s2_v2_train_gold.npz"))
    config = S2Config(masked_reference=False)
    network, judges = Synthesizer(config).eval(), Discriminators(config).eval()
    network.load_state_dict(fill(network.state_dict()))
    judges.load_state_dict(fill(judges.state_dict(), "D."))
    batch = golden_batch(*(torch.from_numpy(gold[key]) for key in ("lens", "text", "text_lens")))
    objective = S2Objective(
        network, judges, S2Settings(),
        draw=lambda *_: (inp("tr.noise_q", (2, 192, 44)), torch.from_numpy(gold["u_slice"])),
    )  # fmt: skip

    [disc] = objective.losses("discriminator", batch).values()
    disc.backward()
    expected = json.loads((FOLDER / "s2_v2_train_gradnorms.json").read_text())
    norms = {key: weight.grad.norm().item() for key, weight in judges.named_parameters()}
    assert norms == {key: pytest.approx(value, rel=1e-3) for key, value in expected["disc"].items()}
    assert all(weight.grad is None for weight in network.parameters())
    judges.zero_grad()

    losses = objective.losses("s2", batch)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    names = {"adversarial": "loss_gen", "features": "loss_fm", "mel": "loss_mel", "kl": "loss_kl"}
    found = {names[key]: value.item() for key, value in losses.items()}
    found |= {"loss_disc": disc.item(), "loss_gen_all": total.item()}
    assert found == {name: pytest.approx(float(gold[name]), rel=1e-4) for name in found}
    for part, figures in expected["gen"].items():
        slopes = [weight.grad for weight in network.get_submodule(part).parameters()]
        known = [slope for slope in slopes if slope is not None]
        assert (len(known), len(slopes) - len(known)) == (figures["n_with_grad"], figures["n_grad_None"])
        norm = sum(slope.square().sum().item() for slope in known) ** 0.5
        assert norm == pytest.approx(figures["grad_l2"], rel=1e-3), part
    assert all(weight.grad is None for weight in judges.parameters())


def test_spectrograms_of_a_padded_batch_are_those_of_its_rows() -> None:
    mel, batch = LogMel(), batch_of([12, 7, 2])
    assert batch.wave is not None
    found = mel.spectrogram(batch.wave, batch.lengths)
    for row, n in enumerate(batch.lengths.tolist()):
        torch.testing.assert_close(found[row, :, :n], mel.spectrogram(batch.wave[row : row + 1, : n * 640])[0])
        assert (found[row, :, n:] == 0).all()


@pytest.mark.parametrize("rows", [[[0, 2, 3], [1]], [[3], [1], [0], [2]]])
def test_the_mean_over_parts_is_the_whole(rows: list[list[int]]) -> None:
    """Every term, and the gradient of every weight; uneven, and one by one."""
    objective, batch = made(), batch_of([20, 9, 13, 31])
    whole = summed(objective, [batch])
    sum(whole.values()).backward()  # type: ignore[union-attr]
    slopes = {name: _slopes(module) for name, module in objective.modules.items()}
    for module in objective.modules.values():
        module.zero_grad()
    parts = summed(objective, [part_of(batch, some, len(rows)) for some in rows])
    assert set(whole) == {"discriminator", "adversarial", "features", "mel", "kl", "f0", "speaker"}
    assert all(value > 0 for value in whole.values())
    for term, value in whole.items():
        torch.testing.assert_close(parts[term], value, rtol=1e-4, atol=1e-6)
    sum(parts.values()).backward()  # type: ignore[union-attr]
    for name, module in objective.modules.items():
        scale = max(float(slope.abs().max()) for slope in slopes[name].values())
        for key, slope in _slopes(module).items():
            torch.testing.assert_close(slope, slopes[name][key], rtol=1e-3, atol=1e-5 * scale)


def _slopes(module: nn.Module) -> dict[str, Tensor]:
    return {key: weight.grad.clone() for key, weight in module.named_parameters() if weight.grad is not None}


def test_draws_depend_on_the_seed_alone() -> None:
    batch = batch_of([20, 9, 13])
    noise, place = draw_noise(batch, 4, 22)
    alone, there = draw_noise(part_of(batch, [1], 1), 4, 10)
    assert torch.equal(noise[1, :, :9], alone[0, :, :9])
    assert torch.equal(place[1:2], there)
    assert (noise[1, :, 9:] == 0).all()
    assert not torch.equal(noise[0, :, :9], noise[1, :, :9])


def test_a_batch_shorter_than_the_piece() -> None:
    losses = summed(made(S2Settings(f0_weight=1.0, discriminator=False)), [batch_of([3, 2])])
    assert all(value.isfinite() for value in losses.values())


def test_optimisers() -> None:
    objective = made(S2Settings(text_rate=0.25))
    optimisers = objective.optimisers(1e-3)
    assert set(optimisers) == {"s2", "discriminator"}
    assert [(group["scale"], group["lr"]) for group in optimisers["s2"].param_groups] == [(1, 1e-3), (0.25, 0.25e-3)]
    owned = {id(p) for group in optimisers["s2"].param_groups for p in group["params"]}
    text = {id(p) for p in optimisers["s2"].param_groups[1]["params"]}
    for name, parameter in objective.modules["s2"].named_parameters():
        assert (id(parameter) in owned) == (not name.startswith("ssl_proj."))
        assert (id(parameter) in text) == name.startswith(("enc_p.text_embedding", "enc_p.encoder_text", "enc_p.mrte"))
    judged = {id(p) for group in optimisers["discriminator"].param_groups for p in group["params"]}
    assert judged == {id(p) for p in objective.modules["discriminator"].parameters()}


def test_what_moves_in_a_step() -> None:
    objective = made()
    before = {
        name: {key: value.clone() for key, value in module.state_dict().items()}
        for name, module in objective.modules.items()
    }
    steps(objective, batch_of([12, 9]), 1, 1e-3)
    for name, module in objective.modules.items():
        still = {key for key, value in module.state_dict().items() if torch.equal(value, before[name][key])}
        assert {key.split(".")[0] for key in still} == ({"ssl_proj", "quantizer"} if name == "s2" else set())


def test_adapters_alone_move() -> None:
    objective = made(ALONE)
    network = objective.modules["s2"]
    adapt(network, "s2", Adaptation(kind="lora"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    steps(objective, batch_of([12, 9]), 2, 1e-3)
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(".lora_" in key for key in moved)
    assert all(".lora_" not in key for key in objective.checkpoints({})["s2"].weights)


def test_one_batch_learnt_by_heart() -> None:
    """Each term of the network falls; the discriminators tell the two sides apart better than at first."""
    objective, batch = made(S2Settings(f0_weight=1.0, discriminator=False)), batch_of([16, 12])
    found = steps(objective, batch, 60, 3e-3)
    assert set(found[0]) == {"mel", "kl", "f0"}
    assert all(found[-1][term] < 0.8 * found[0][term] for term in found[0]), (found[0], found[-1])


def test_the_two_sides_against_each_other() -> None:
    objective, batch = made(S2Settings()), batch_of([12, 9])
    found = steps(objective, batch, 6, 1e-3)
    assert min(terms["discriminator"] for terms in found) < 0.8 * found[0]["discriminator"]
    assert found[-1]["mel"] < found[0]["mel"]


def test_one_forward_for_both_rounds() -> None:
    """Held while a device computes its share at once, computed anew with accumulation: the same losses."""
    objective, batch = made(), batch_of([16, 12, 9])
    calls: list[bool] = []
    objective.modules["s2"].register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    once = summed(objective, [batch])
    assert calls == [True]
    calls.clear()
    parts = [part_of(batch, [0], 3), part_of(batch, [1], 3), part_of(batch, [2], 3)]
    often = summed(objective, parts)
    assert calls == [False] * 3 + [True] * 3
    for term, value in once.items():
        torch.testing.assert_close(often[term], value, rtol=1e-4, atol=1e-6)


def test_validation_adds_up_over_batches() -> None:
    settings = S2Settings(f0_weight=1.0, speaker_weight=0.8, discriminator=False)
    objective, batch = made(settings), batch_of([20, 9, 13, 31])
    whole = objective.validate(batch)
    parts = [objective.validate(part_of(batch, rows, 1)) for rows in ([0, 1, 2], [3])]
    assert {key: parts[0][key] + parts[1][key] for key in whole} == pytest.approx(whole, rel=1e-4)
    terms = ("mel", "kl", "f0", "speaker")
    assert whole["loss"] == pytest.approx(sum(whole[term] for term in terms), rel=1e-5)
    assert [whole[f"{term}/weight"] for term in (*terms, "loss")] == [4.0] * 5
    assert objective.validate(batch) == whole
    assert not any(weight.grad is not None for weight in objective.modules["s2"].parameters())


def test_sample() -> None:
    sample = made(ALONE).sample(batch_of([13, 9]))
    assert {name: wave.shape for name, wave in sample.waves.items()} == {"real": (12 * 640,), "rendered": (12 * 640,)}
    assert {name: image.shape for name, image in sample.images.items()} == {"real": (128, 12), "rendered": (128, 12)}
    assert np.abs(sample.waves["rendered"]).max() > 0


def test_checkpoints_are_what_was_trained(tmp_path: Path) -> None:
    objective, batch = made(), batch_of([12, 9])
    steps(objective, batch, 2, 1e-3)
    for stem, checkpoint in objective.checkpoints({"step": 2}).items():
        write(tmp_path / f"{stem}.safetensors", checkpoint)
    assert read(tmp_path / "s2.safetensors").lineage == {"step": 2}
    network = load_s2(tmp_path / "s2.safetensors")
    judges = load_discriminators(tmp_path / "s2_discriminator.safetensors")
    again = S2Objective(network, judges, ALL, objective._speaker)
    assert again.validate(batch) == objective.validate(batch)
    with torch.no_grad():
        first, second = (one.losses("discriminator", batch)["discriminator"] for one in (objective, again))
    assert first.item() == second.item()


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match="no posterior encoder"):
        S2Objective(Synthesizer(TRAINED_S2, posterior=False), None, S2Settings())
    with pytest.raises(ConfigError, match=r"speaker_weight = 0\.8 needs a speaker encoder"):
        S2Objective(Synthesizer(TRAINED_S2), None, S2Settings(speaker_weight=0.8))
    small = S2Config(upsample_rates=(5, 4, 2), upsample_kernels=(9, 8, 2))
    with torch.device("meta"), pytest.raises(ConfigError, match="40 samples for each frame: expected 640"):
        S2Objective(Synthesizer(small), None, S2Settings())


def test_needs() -> None:
    assert made(S2Settings()).needs == {"wave"}
    assert made().needs == {"wave", "f0"}
    with torch.device("meta"):
        assert S2Objective(Synthesizer(S2Config.of("v2Pro")), None, S2Settings()).needs == {"wave", "speaker_embedding"}


def test_low_precision_changes_no_code() -> None:
    """The content that the prior sees is that of float32, whatever the layers compute in."""
    objective, batch = made(ALONE), batch_of([20, 9])
    seen: list[Tensor] = []
    objective.modules["s2"].enc_p.register_forward_pre_hook(lambda _, given: seen.append(given[0].float()))
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses = objective.losses("s2", batch)
        assert all(value.isfinite() for value in losses.values())
    assert torch.equal(seen[0], seen[1])
