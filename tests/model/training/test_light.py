"""The training of the light system: parts that add up, what one needs of another, and that all of it learns."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.minibatches import batch_of, part_of
from support.tiny_voice import tiny_light
from torch import Tensor
from torch.nn.functional import pad

from voicemill.model.audio.mel import FLOOR, LogMel
from voicemill.model.checkpoints.writing import write
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.export.exporting import export_voice
from voicemill.model.light.config import EcapaConfig
from voicemill.model.light.ecapa import EcapaTdnn
from voicemill.model.light.system import PARTS, LightSystem, load_light
from voicemill.model.s2.synthesizer import pieces
from voicemill.model.settings.light import (
    LightAcousticSettings,
    LightSettings,
    LightSpeakerSettings,
    LightVocoderSettings,
)
from voicemill.model.settings.training import (
    LIGHT,
    Adaptation,
    DataSettings,
    LoopSettings,
    Network,
    Phase,
    TrainingSettings,
)
from voicemill.model.training.engine.ranks import Ranks
from voicemill.model.training.engine.run import RunSpec, result
from voicemill.model.training.light.acoustic import LightAcousticObjective
from voicemill.model.training.light.batches import log_mels, waves
from voicemill.model.training.light.speaker import LightSpeakerObjective, SpeakerClassifier
from voicemill.model.training.light.starting import LightObjective
from voicemill.model.training.light.vocoder import LightVocoderObjective
from voicemill.model.training.main import Material, train
from voicemill.model.training.objectives.waveform_losses import StftLoss
from voicemill.model.training.starting import objective_of
from voicemill.model.voices.opening import open_voice
from voicemill.storage.errors import CheckpointError, ConfigError
from voicemill.storage.units import RATE

SIZES = LightSettings(
    speaker=LightSpeakerSettings(sizes={"channels": 16, "scale": 4, "bottleneck": 8}, piece_s=0.5),
    acoustic=LightAcousticSettings(sizes={"width": 16, "layers": 1, "units": 16}),
    vocoder=LightVocoderSettings(
        sizes={"upsample_channels": 16, "resblock_kernels": [3], "resblock_dilations": [1]},
        segment=8,
        periods=(2,),
        discriminator_width=16,
    ),
)
SPEAKERS = ("ann", "bob", "eve")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(frames: list[int], seed: int = 0) -> Minibatch:
    """Utterances of all speakers in turn, whose phones are symbols of the table."""
    found: Minibatch = batch_of(frames, phones=700, seed=seed)
    return replace(found, speakers=tuple(SPEAKERS[row % 3] for row in range(len(frames))))


def made(part: str, trained: tuple[str, ...] = PARTS) -> LightObjective:
    system = tiny_light(5, trained)
    if part == "speaker":
        return LightSpeakerObjective(system, SPEAKERS, SIZES.speaker)
    if part == "acoustic":
        return LightAcousticObjective(system, SIZES.acoustic)
    return LightVocoderObjective(system, SIZES.vocoder)


def summed(objective: LightObjective, parts: list[Minibatch]) -> dict[str, Tensor]:
    """The loss of every round: means over the parts."""
    found: dict[str, list[Tensor]] = {}
    for name in objective.rounds:
        for part in parts:
            for term, value in objective.losses(name, part).items():
                found.setdefault(term, []).append(value)
    return {term: torch.stack(values).mean() for term, values in found.items()}


def slopes(objective: LightObjective, parts: list[Minibatch]) -> dict[str, Tensor]:
    for module in objective.modules.values():
        module.zero_grad()
    torch.stack(list(summed(objective, parts).values())).sum().backward()
    named = (pair for module in objective.modules.values() for pair in module.named_parameters())
    return {name: torch.zeros(()) if weight.grad is None else weight.grad.clone() for name, weight in named}


@pytest.mark.parametrize("part", PARTS)
def test_the_mean_over_parts_is_the_whole(part: str) -> None:
    """Every term, and the gradient of every weight."""
    objective, whole = made(part), batch([40, 33, 52])
    parts = [part_of(whole, rows, 2) for rows in ([0, 2], [1])]
    for term, value in summed(objective, [whole]).items():
        assert float(summed(objective, parts)[term].detach()) == pytest.approx(float(value.detach()), rel=1e-3), term
    once, apart = slopes(objective, [whole]), slopes(objective, parts)
    assert any(slope.any() for slope in once.values())
    for name, slope in once.items():
        torch.testing.assert_close(apart[name], slope, rtol=2e-2, atol=2e-4 * max(1.0, float(slope.abs().max())))


def test_the_margin_is_an_angle() -> None:
    """By hand: two directions, a vector 60 degrees from the right one and 30 from the other."""
    classifier = SpeakerClassifier(EcapaTdnn(EcapaConfig(channels=16, scale=4, embedding=2)), 2, 0.2, 30.0)
    with torch.no_grad():
        classifier.directions.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.5]]))
    classifier.encoder.forward = lambda *_: torch.tensor([[0.5, math.sqrt(0.75)]])  # type: ignore[method-assign]
    nothing = torch.zeros(1, 128, 4)
    plain = classifier(nothing, nothing[:, :1])
    right = classifier(nothing, nothing[:, :1], torch.tensor([0]))
    assert plain[0].tolist() == pytest.approx([30 * 0.5, 30 * math.sqrt(0.75)], rel=1e-5)
    assert right[0].tolist() == pytest.approx([30 * math.cos(math.pi / 3 + 0.2), 30 * math.sqrt(0.75)], rel=1e-5)


def test_spectra_at_three_resolutions() -> None:
    loss, wave = StftLoss(), torch.randn(2, 4096, generator=torch.Generator().manual_seed(0)) * 0.1
    assert loss(wave, wave).tolist() == pytest.approx([0, 0], abs=2e-3)
    half, tenth = loss(wave, wave * 0.5), loss(wave, wave * 0.1)
    assert half[0] == pytest.approx(0.5 + math.log(2), rel=1e-3)
    assert (tenth > half).all()


def test_a_piece_of_a_log_mel_is_that_of_the_whole() -> None:
    """At the beginning, inside, over the end of a row, and where a row is shorter than the piece."""
    heard, mel, size = batch([40, 33, 9, 52]), LogMel(), 16
    whole = pad(log_mels(heard, mel), (0, size), value=math.log(FLOOR))
    for starts in ([0, 0, 0, 0], [5, 17, 0, 30], [30, 33, 5, 52]):
        at = torch.tensor(starts)
        cut = mel.cut(waves(heard), heard.lengths, at, size)
        torch.testing.assert_close(cut, pieces(whole, at, size), atol=1e-4, rtol=1e-4)


def test_silence_has_finite_losses() -> None:
    silent = batch([40, 33])
    silent = replace(silent, wave=torch.zeros_like(silent.wave) if silent.wave is not None else None)
    for part in PARTS:
        assert all(slope.isfinite().all() for slope in slopes(made(part), [silent]).values()), part


@pytest.mark.parametrize("part", PARTS)
def test_a_batch_without_waves_is_refused(part: str) -> None:
    objective = made(part)
    with pytest.raises(ConfigError, match="trained on waves"):
        objective.losses(objective.rounds[-1], replace(batch([40]), wave=None))


def spec(network: Network, start: str = "", steps: int = 3, **phase: Any) -> RunSpec:
    settings = TrainingSettings(
        data=DataSettings(batch=3),
        light=SIZES,
        loop=LoopSettings(precision="float32", evaluate_every=steps, checkpoint_every=steps, log_every=1),
        phases={"light": Phase(**{"steps": steps, "rate": 3e-3, "networks": LIGHT, **phase})},
    )
    return RunSpec(store="store", version=1, network=network, phase="light", settings=settings, start=start)


class Fixed:
    """The same batch at every step, which is the validation set too."""

    def __init__(self, batch: Minibatch) -> None:
        self.batch = batch

    def training(self, start_step: int, rank: int, world: int, accumulate: int) -> Iterator[list[Minibatch]]:
        while True:
            yield [self.batch]

    def validation(self, rank: int, world: int) -> Iterator[Minibatch]:
        yield self.batch


def test_three_trainings_make_a_voice(tmp_path: Path) -> None:
    """By the loop as it is, each from the file of the one before, with checkpoints, samples and evaluations."""
    heard = batch([60, 45, 52])

    def build(what: RunSpec, _: Ranks) -> Material:
        return Material(objective_of(what, 6, lambda: iter(()), speakers=SPEAKERS), Fixed(heard))

    file = ""
    for number, network in enumerate(LIGHT):
        folder = tmp_path / network
        spec(network, file).write(folder)
        assert train(folder, build) == 0
        done = result(folder)
        assert done is not None
        assert list(done.exports) == ["light"]
        file = done.exports["light"]
        assert load_light(file, needs=()).trained == set(PARTS[: number + 1])
    before, after = (load_light(tmp_path / name / "export" / "light.safetensors", ()) for name in LIGHT[1:])
    assert all(
        torch.equal(value, after.acoustic.state_dict()[key]) for key, value in before.acoustic.state_dict().items()
    )
    voice = open_voice({"light": file})
    wave = np.random.default_rng(0).normal(0, 0.1, 4 * 32_000).astype(np.float32)
    assert voice.speak("Good morning.", voice.reference([wave])).seconds > 0.3


def test_one_speaker_is_enough_with_the_embedded_encoder(tmp_path: Path) -> None:
    """No encoder is trained; the voice speaks without a recording, and as graphs too."""
    alone = replace(batch([60, 45, 52]), speakers=("ann",) * 3)
    vector = np.eye(1, 256, 3, dtype=np.float32)[0]

    def build(what: RunSpec, _: Ranks) -> Material:
        return Material(
            objective_of(what, 6, lambda: iter(()), speakers=["ann"], voices=lambda: {"ann": vector}), Fixed(alone)
        )

    file = ""
    for network in LIGHT[1:]:
        run = spec(network, file, mix={"target": 1.0})
        light = run.settings.light.model_copy(update={"encoder": "ge2e"})
        settings = run.settings.model_copy(update={"light": light})
        replace(run, settings=settings, speakers=("ann",)).write(tmp_path / network)
        assert train(tmp_path / network, build) == 0
        done = result(tmp_path / network)
        assert done is not None
        file = done.exports["light"]
    system = load_light(file)
    assert system.trained == set(PARTS)
    assert system.default_voice is not None
    assert system.default_voice.tolist() == vector.tolist()
    export_voice({"light": file}, tmp_path / "graphs")
    said = []
    for weights in ({"light": file}, {"onnx": tmp_path / "graphs"}):
        voice = open_voice(weights)
        said.append(voice.speak("Good morning.", voice.reference([])).wave)
    assert len(said[0]) > 0.3 * RATE
    np.testing.assert_allclose(said[1], said[0], atol=1e-3)


def test_a_speaker_encoder_that_could_learn_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tell speakers apart, and the corpus has one: set light.encoder to 'ge2e'"):
        objective_of(spec("light_speaker"), 6, lambda: iter(()), speakers=["ann"])
    run = spec("light_speaker")
    light = run.settings.light.model_copy(update={"encoder": "ge2e"})
    fixed = replace(run, settings=run.settings.model_copy(update={"light": light}))
    with pytest.raises(ConfigError, match="the embedded one, which is fixed"):
        objective_of(fixed, 6, lambda: iter(()), speakers=SPEAKERS)


def test_what_contradicts_itself_is_said(tmp_path: Path) -> None:
    def built(what: RunSpec) -> LightObjective:
        return objective_of(what, 6, lambda: iter(()), speakers=SPEAKERS)  # type: ignore[return-value]

    with pytest.raises(ConfigError, match="train light_speaker first"):
        built(spec("light"))
    with pytest.raises(ConfigError, match="hold_back to 'recordings'"):
        built(spec("light_speaker", hold_back="speakers"))
    with pytest.raises(ConfigError, match="trained in full"):
        built(spec("light_speaker", adapt=Adaptation(kind="lora")))
    with pytest.raises(ConfigError, match="none is named"):
        objective_of(spec("light_speaker"), 6, lambda: iter(()))
    path = tmp_path / "s1.safetensors"
    write(path, replace(LightSystem(trained=["speaker"]).checkpoint(), kind="s1"))
    with pytest.raises(CheckpointError, match="a checkpoint of s1"):
        built(spec("light", str(path)))
    quick = spec("light")
    data = quick.settings.data.model_copy(update={"most_phones": 60.0})
    with pytest.raises(ConfigError, match="most_phones = 60"):
        built(replace(quick, settings=quick.settings.model_copy(update={"data": data})))
    sizes = SIZES.model_copy(update={"vocoder": LightVocoderSettings(sizes={"colour": 1})})
    with pytest.raises(ConfigError, match=r"light.vocoder.sizes.*colour"):
        built(replace(quick, settings=quick.settings.model_copy(update={"light": sizes})))


def trained(objective: LightObjective, heard: Minibatch, steps: int, rate: float) -> list[dict[str, float]]:
    """Figures of the validation before and after, means."""
    before, optimisers = objective.validate(heard), objective.optimisers(rate)
    for _ in range(steps):
        for name in objective.rounds:
            for module in objective.modules.values():
                module.train().zero_grad()
            torch.stack(list(objective.losses(name, heard).values())).sum().backward()
            optimisers[name].step()
    after = objective.validate(heard)
    both = before, after
    return [{k: v / found[f"{k}/weight"] for k, v in found.items() if "/" not in k} for found in both]


def test_speakers_are_told_apart() -> None:
    before, after = trained(made("speaker", ()), batch([60, 70, 50, 55, 65, 45]), 25, 5e-3)
    assert after["accuracy"] == 1
    assert after["loss"] < 0.2 * before["loss"]


def held(objective: LightObjective, heard: Minibatch) -> list[int]:
    """Where the second half of the phones begins in each row, in frames."""
    assert isinstance(objective, LightAcousticObjective)
    objective.system.acoustic.eval()
    with torch.no_grad():
        found = objective._fitted(heard)[0].durations
    return [int(found[row, : int(count) // 2].sum()) for row, count in enumerate(heard.phone_lengths)]


def test_durations_follow_the_forced_alignment() -> None:
    """By the alignment the first half of the phones lasts four fifths of each row, and so the training learns it."""
    heard, tolerance = batch([60, 45, 52]), 1
    bounds, middles = torch.zeros(*heard.phones.shape, 2, dtype=torch.int64), []
    for row, (count, frames) in enumerate(zip(heard.phone_lengths.tolist(), heard.lengths.tolist(), strict=True)):
        middles.append(frames * 4 // 5)
        bounds[row, : count // 2] = torch.tensor([0, middles[-1]])
        bounds[row, count // 2 : count] = torch.tensor([middles[-1], frames])
    placed = replace(heard, bounds=bounds)
    objective = made("acoustic")
    assert isinstance(objective, LightAcousticObjective)
    assert objective.needs == {"mel", "bounds"}
    assert any(abs(at - middle) > 5 for at, middle in zip(held(objective, heard), middles, strict=True))
    objective.settings = objective.settings.model_copy(update={"tolerance": tolerance})
    before, after = trained(objective, placed, 12, 1e-2)
    assert all(abs(at - middle) <= tolerance for at, middle in zip(held(objective, placed), middles, strict=True))
    assert after["duration"] < 0.7 * before["duration"]
    fitted, _ = objective._fitted(placed)
    said = fitted.log_durations.detach().exp()
    for row, count in enumerate(heard.phone_lengths.tolist()):
        assert float(said[row, : count // 2].sum()) > 1.2 * float(said[row, count // 2 : count].sum())

    alone = LightAcousticObjective(objective.system, LightAcousticSettings(durations="search"))
    assert alone.needs == {"mel"}
    assert held(alone, placed) == held(alone, heard) == held(objective, heard)
    assert "search alone" in alone.notes[-1]


@pytest.mark.slow
def test_a_few_utterances_are_learnt() -> None:
    """The log-mel of tones with a little noise within 0.35 nepers, from over 1."""
    before, after = trained(made("acoustic"), batch([60, 45, 52]), 30, 1e-2)
    assert before["log_mel_distance"] > 1
    assert after["log_mel_distance"] < 0.35
    assert after["duration"] < 0.6 * before["duration"]


@pytest.mark.slow
@pytest.mark.parametrize("discriminator", [False, True])
def test_a_few_utterances_are_rendered(discriminator: bool) -> None:
    objective = made("vocoder")
    settings = SIZES.vocoder.model_copy(update={"discriminator": discriminator})
    objective = LightVocoderObjective(objective.system, settings)
    assert objective.rounds == (("discriminator", "light_vocoder") if discriminator else ("light_vocoder",))
    before, after = trained(objective, batch([30, 25]), 30, 3e-3)
    assert after["log_mel_distance"] < 0.75 * before["log_mel_distance"]
    assert after["stft"] < before["stft"]
