"""Distance of a student to its teacher, apart from the quality of either: the next codes, and the waveform.

token_agreement: the teacher synthesises a sentence; at every position, EOS included, the most likely code of the
student after the teacher's codes so far is compared with the most likely code of the teacher. So one early difference
does not make all that follows differ, and the result does not depend on the draws.
log_mel_distance: both render the codes of the teacher with the same noise, each in the voice that its own reference
encoder makes of the recording: mean |difference| of the log-mels, natural logarithm.

Both use the engines of the voices, so a compressed voice is compared as it speaks. Cost: the sentence synthesised once,
and read and rendered by both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from voicemill.model.judging.judge import Figures
from voicemill.model.judging.metrics.alignment import log_mel
from voicemill.model.judging.testset.testset import TestSet
from voicemill.model.s1.generate import generate
from voicemill.model.s1.prefix import Engine, Prefix
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.pieces import Line, lines_of
from voicemill.model.speaking.reference import Reference
from voicemill.model.speaking.voice import Voice
from voicemill.model.voices.opening import AnyVoice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import VoicemillError

TOKENS, LOG_MEL = "token_agreement", "log_mel_distance"


@dataclass(frozen=True)
class Agreement:
    """Agreement of two voices over one text."""

    tokens: float
    """Share of the positions at which the most likely codes are equal, 0..1."""
    places: int
    """Positions compared: the codes, and an EOS for each piece of the text."""
    log_mel: float
    """Log-mel distance, nepers."""
    frames: int
    """Frames of the waveforms, 50 a second."""


def agreements(teacher: AnyVoice, student: AnyVoice, testset: TestSet, options: SpeakOptions) -> Figures:
    """Return both figures for every sentence of a test set that both voices can synthesise."""
    if not (isinstance(teacher, Voice) and isinstance(student, Voice)):
        why = "only voices of s1 and s2 have codes to compare; the light system has none"
        return Figures({}, {TOKENS: why, LOG_MEL: why})
    tokens: dict[str, float] = {}
    distances: dict[str, float] = {}
    failed = ""
    for sentence in testset.sentences:
        clip, told = sentence.reference, replace(options, language=sentence.language or "auto")
        try:
            found = agreement(
                teacher, student, sentence.text, [clip.wave], clip.text, clip.language or "auto", options=told
            )
        except VoicemillError as error:  # one failed sentence does not end the comparison
            failed = str(error)
            continue
        tokens[sentence.id], distances[sentence.id] = found.tokens, found.log_mel
    if not tokens:
        return Figures({}, {TOKENS: failed or "no sentence", LOG_MEL: failed or "no sentence"})
    return Figures({TOKENS: tokens, LOG_MEL: distances}, {})


def agreement(
    teacher: Voice,
    student: Voice,
    text: str,
    recordings: Sequence[Path | str | Wave],
    reference_text: str = "",
    language: str = "auto",
    *,
    options: SpeakOptions | None = None,
) -> Agreement:
    """Return the agreement over one text in the voice of the recordings; `reference_text`: transcript of the first of
    them, in `language`. Speed and pauses of the options have no effect.

    Raises ConfigError, AudioError as `Voice.reference` and `Voice.speak`.
    """
    options = options or SpeakOptions()
    one = teacher.reference(recordings, reference_text, language)
    other = student.reference(recordings, reference_text, language)
    same = places = frames = 0
    distance = 0.0
    for number, line in enumerate(lines_of(text, options, teacher.bert)):
        prefix = _prefix(line, one)
        seed = options.seed_of(number)
        (said,) = generate(teacher.s1, [prefix], options.sampling, [seed], options.max_codes)
        mine, theirs = (likeliest(voice.s1, prefix, said.codes) for voice in (student, teacher))
        same += int((mine == theirs).sum())
        places += len(theirs)
        mels = [
            log_mel(rendered(voice, line, said.codes, reference.ge, options, seed))
            for voice, reference in ((teacher, one), (student, other))
        ]
        distance += float(abs(mels[0] - mels[1]).mean()) * len(mels[0])
        frames += len(mels[0])
    return Agreement(same / places, places, distance / frames, frames)


def likeliest(engine: Engine, prefix: Prefix, codes: Tensor) -> Tensor:
    """int64 [codes + 1]: the code, or EOS, that an engine finds likeliest at each place of `codes`, int64 [codes]."""
    with torch.inference_mode():
        decoding = engine.begin([prefix], len(codes) + 1)
        found = [int(decoding.logits[0].argmax())]
        for code in codes:
            decoding.advance(code[None])
            found.append(int(decoding.logits[0].argmax()))
    return torch.tensor(found)


def rendered(voice: Voice, line: Line, codes: Tensor, ge: Tensor, options: SpeakOptions, seed: int) -> Wave:
    """Codes as a voice renders them, float32 [samples]; the noise is drawn from `seed`."""
    with torch.inference_mode():
        prior = voice.s2.prior(codes[None].to(voice.device), line.phones[None].to(voice.device), ge)
        noise = torch.randn(prior.mean.shape, generator=torch.Generator().manual_seed(seed)).to(prior.mean)
        z = voice.s2.latent(prior.mean, prior.logs, options.noise_scale, noise)
        wave: Wave = voice.s2.waveform(z, ge)[0].float().cpu().numpy()
    return wave


def _prefix(line: Line, reference: Reference) -> Prefix:
    return Prefix(
        torch.cat([reference.phones, line.phones]), reference.codes, torch.cat([reference.bert, line.bert], 1)
    )
