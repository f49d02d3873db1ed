"""Speech recognition by Whisper (CTranslate2): segments to texts, scores and encoder states.

What: log-mel of each segment, the encoder, beam search without timestamps. No voice activity detector runs: the
segments are speech. A text that a guard doubts, or that repeats itself, is decoded again with other settings
(`RETRIES`) in a real window of 30 s, and the best of the attempts is taken.
Windows: Whisper was trained on windows of 30 s, whose cost grows faster than their length (attention; one core,
tiny.en, int8: 10 s .08, 20 s .24, 30 s .65 s). On a CPU the encoder reads the segment and `TAIL` of silence; behind its
states the decoder reads `MORE` of silence at the same places of a window, which are computed once. 2 % of the texts
repeat themselves, as in real windows; where the encoder reads 5 s of silence and the decoder nothing else, 5 %. Errors
are no more than in real windows (`tests/bench/README.md`). On a GPU every window has 30 s. Segments over 30 s are
recognised in equal parts.
Why no sampling at higher temperatures, as in Whisper: CTranslate2 seeds its generators once per thread, so that a text
would depend on the texts before it. Results depend on the audio alone; in float32 and float16, up to ties in the beam.
Package `faster-whisper` loads in a second and 64 MB; `whisperx`, whose batched generation is the same call, in 12 s and
1.1 GB, most of it for parts that are not used.
Source: Radford et al. 2022 (Whisper); Bain et al. 2023 (whisperx).
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voicemill.model.speech.guards import Limits, Refusal, refusal, repeats_itself
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Samples, Seconds

WHISPER_RATE = 16_000
WINDOW = 30 * WHISPER_RATE
"""Samples in the window of Whisper, 30 s."""
TAIL = WHISPER_RATE
"""Samples of silence behind the speech that the encoder reads in a shorter window."""
STRIDE = 320
"""Samples of one encoder state, 20 ms."""
MORE = 10 * WHISPER_RATE // STRIDE
"""Encoder states of silence behind those of a shorter window."""
STEP = 5 * STRIDE
"""Unit of the length of a shorter window, samples."""
Package = Literal["faster-whisper", "whisperx"]


@dataclass(frozen=True)
class Options:
    """Options of the generation, with whisperx's own defaults."""

    beam_size: int
    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    initial_prompt: None = None
    prefix: None = None
    hotwords: None = None
    suppress_blank: bool = True
    suppress_tokens: list[int] = field(default_factory=lambda: [-1])
    without_timestamps: bool = True


RETRIES: tuple[dict[str, Any], ...] = ({}, {"repetition_penalty": 1.15, "no_repeat_ngram_size": 4})
"""Options of the further attempts at a doubtful text, all in a window of 30 s."""


@dataclass(frozen=True)
class Encoded:
    """A segment ready to be decoded: its windows and, on a CPU, their encoder states."""

    seconds: Seconds
    parts: tuple[Wave, ...]
    """Waves of the windows, float32 [samples], 16 kHz."""
    states: tuple[Any, ...]
    """Encoder output of each window (CTranslate2, [1, time, dims]); () on a GPU, where windows are encoded together."""

    def mean(self) -> NDArray[np.float32]:
        """Mean encoder state over the speech, float32 [dims]; the silence behind it is left out."""
        pairs = zip(self.parts, self.states, strict=True)
        speech = [_array(state)[0, : max(1, len(part) // STRIDE)] for part, state in pairs]
        return np.asarray(np.concatenate(speech).mean(0))


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """Text of one segment."""

    text: str
    score: float
    """Mean log probability of its tokens."""
    no_speech: float = 0.0
    """Probability of no speech, 0..1; 0 where the package does not give it."""
    refusal: Refusal | None = None
    """The guard that refuses the text."""


@dataclass(frozen=True)
class _Attempt:
    """One decoding of one window."""

    text: str
    score: float
    no_speech: float


class Whisper:
    """A Whisper model of CTranslate2 from a local folder, loaded once."""

    def __init__(
        self,
        folder: Path,
        device: Literal["auto", "cpu", "cuda"],
        compute_type: str = "default",
        beam_size: int = 5,
        package: Package = "faster-whisper",
    ) -> None:
        where = _device(device)
        if compute_type == "default":
            compute_type = "float16" if where == "cuda" else "int8"
        self._options, self._on_gpu, self._batched = Options(beam_size), where == "cuda", package == "whisperx"
        self._silence: NDArray[np.float32] | None = None
        threads = int(os.environ.get("OMP_NUM_THREADS") or 0) or len(os.sched_getaffinity(0))
        self._model: Any = _class(package)(str(folder), device=where, compute_type=compute_type, cpu_threads=threads)

    @property
    def is_multilingual(self) -> bool:
        """Whether it recognises more than English."""
        return bool(self._model.model.is_multilingual)

    @property
    def encodes_alone(self) -> bool:
        """Whether `encode` computes the encoder states: on a CPU, but not through whisperx, which encodes batches."""
        return not (self._on_gpu or self._batched)

    def knows(self, language: str) -> bool:
        """Whether it recognises a language, ISO 639-1."""
        token = self._model.hf_tokenizer.token_to_id(f"<|{language}|>")
        return token is not None if self.is_multilingual else language == "en"

    def encode(self, wave: Wave) -> Encoded:
        """A segment, float32 [samples], 32 kHz, with its encoder states where they are computed one by one."""
        import soxr

        low = np.asarray(soxr.resample(wave, RATE, WHISPER_RATE), np.float32)
        parts = tuple(np.array_split(low, -(-len(low) // WINDOW)))
        states = tuple(self._model.encode(self._features(part)) for part in parts) if self.encodes_alone else ()
        return Encoded(len(low) / WHISPER_RATE, parts, states)

    def decode(
        self, segments: Sequence[Encoded], language: str, batch_size: int = 8, limits: Limits | None = None
    ) -> list[Recognised]:
        """Text of each segment; with limits, the guards judge it, and doubtful windows are decoded again."""
        windows = [(number, at) for number, segment in enumerate(segments) for at in range(len(segment.parts))]
        attempts: list[list[_Attempt]] = [[] for _ in segments]
        for window, attempt in zip(windows, self._attempts(segments, windows, language, batch_size), strict=True):
            part = segments[window[0]].parts[window[1]]
            attempts[window[0]].append(self._best(part, attempt, language, limits) if limits else attempt)
        return [_joined(parts, segment.seconds, limits) for parts, segment in zip(attempts, segments, strict=True)]

    def transcribe(self, waves: Sequence[Wave], language: str, batch_size: int = 8) -> list[tuple[str, float]]:
        """Text of each wave, float32 [samples], 32 kHz, and the mean log probability of its tokens. Doubtful texts are
        decoded again; none is refused."""
        texts: list[Recognised] = []
        for at in range(0, len(waves), batch_size):
            group = [self.encode(wave) for wave in waves[at : at + batch_size]]
            texts += self.decode(group, language, batch_size, Limits())
        return [(one.text, one.score) for one in texts]

    def language_of(self, segments: Iterable[Encoded]) -> str:
        """ISO 639-1 code of the likeliest language in the first 30 s of the segments together; "en" for an English-only
        model."""
        if not self.is_multilingual:
            return "en"
        speech = np.concatenate([part for segment in segments for part in segment.parts])[:WINDOW]
        token = self._model.model.detect_language(self._model.encode(self._features(speech, WINDOW)))[0][0][0]
        return str(token).strip("<|>")

    def _attempts(
        self, segments: Sequence[Encoded], windows: Sequence[tuple[int, int]], language: str, batch_size: int
    ) -> Iterator[_Attempt]:
        """First attempt at each window: one by one where they are encoded, else in batches."""
        for at in range(0, len(windows), batch_size):
            group = windows[at : at + batch_size]
            if segments[group[0][0]].states:
                for number, part in group:
                    states = self._followed(segments[number].states[part])
                    yield from self._generate(states, 1, language, self._options)
                continue
            features = np.stack([self._features(segments[number].parts[part], WINDOW) for number, part in group])
            if self._batched:
                out = self._model.generate_segment_batched(features, self._tokenizer(language), self._options)
                for text, score in zip(out["text"], out["avg_logprob"], strict=True):
                    yield _Attempt(text.strip(), float(score), 0.0)
            else:
                yield from self._generate(self._model.encode(features), len(group), language, self._options)

    def _generate(self, states: Any, count: int, language: str, options: Options) -> list[_Attempt]:
        """Texts of windows that are encoded together; the same call as whisperx's `generate_segment_batched`."""
        tokenizer = self._tokenizer(language)
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
        made = self._model.model.generate(
            states,
            [prompt] * count,
            beam_size=options.beam_size,
            patience=options.patience,
            length_penalty=options.length_penalty,
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            max_length=self._model.max_length,
            suppress_blank=options.suppress_blank,
            suppress_tokens=options.suppress_tokens,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [_attempt(result, tokenizer) for result in made]

    def _best(self, part: Wave, first: _Attempt, language: str, limits: Limits) -> _Attempt:
        """The first attempt where it is beyond doubt, else that of a window of 30 s, else the likeliest."""
        seconds = len(part) / WHISPER_RATE
        if not _is_refused(first, seconds, limits) and not repeats_itself(first.text.split()):
            return first
        attempts, states = [first], self._model.encode(self._features(part, WINDOW))
        for changes in RETRIES:
            attempts += self._generate(states, 1, language, Options(self._options.beam_size, **changes))
            if not _is_refused(attempts[-1], seconds, limits):
                return attempts[-1]
        return max(attempts, key=lambda attempt: (not _is_refused(attempt, seconds, limits), attempt.score))

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        return Tokenizer(self._model.hf_tokenizer, self.is_multilingual, task="transcribe", language=language)

    def _followed(self, states: Any) -> Any:
        """Encoder states of a shorter window and `MORE` of silence, CTranslate2, [1, time, dims]."""
        if self._silence is None:
            self._silence = _array(self._model.encode(self._features(np.zeros(0, np.float32), WINDOW)))
        at = states.shape[1]
        followed = np.concatenate([_array(states), self._silence[:, at : at + MORE]], 1)
        return type(states).from_array(followed).to(states.dtype)

    def _features(self, low: Wave, samples: Samples | None = None) -> Wave:
        """Log-mel of a window, float32 [mels, frames]: `samples` long, default the speech and `TAIL`."""
        length = samples or window_length(len(low))
        mel = self._model.feature_extractor(np.pad(low, (0, max(0, length - len(low)))), padding=0)
        return np.asarray(mel[:, : length // 160], np.float32)


def window_length(samples: Samples) -> Samples:
    """Samples of the window for so much speech at 16 kHz, 30 s at most; another length may change a text."""
    return min(-(-(samples + TAIL) // STEP) * STEP, WINDOW)


def _array(states: Any) -> NDArray[np.float32]:
    """Encoder states of CTranslate2 as float32 [1, time, dims]."""
    return np.array(states.to(type(states.dtype).float32))


def _attempt(result: Any, tokenizer: Any) -> _Attempt:
    tokens = result.sequences_ids[0]
    text = tokenizer.decode([token for token in tokens if token < tokenizer.eot]).strip()
    return _Attempt(text, float(result.scores[0] * len(tokens) / (len(tokens) + 1)), float(result.no_speech_prob))


def _is_refused(attempt: _Attempt, seconds: Seconds, limits: Limits) -> bool:
    return refusal(attempt.text, seconds, attempt.score, attempt.no_speech, limits) is not None


def _joined(attempts: Sequence[_Attempt], seconds: Seconds, limits: Limits | None) -> Recognised:
    """Text of a segment from its windows."""
    text = " ".join(attempt.text for attempt in attempts)
    score = float(np.mean([attempt.score for attempt in attempts]))
    no_speech = float(np.mean([attempt.no_speech for attempt in attempts]))
    refused = refusal(text, seconds, score, no_speech, limits) if limits else None
    return Recognised(text=text, score=score, no_speech=no_speech, refusal=refused)


def _device(device: Literal["auto", "cpu", "cuda"]) -> str:
    """cpu or cuda. torch is asked only where a GPU may be used: it takes 2 s to load. Raises ConfigError."""
    if device == "cpu":
        return device
    from voicemill.model.device import place

    return str(place(device, "float32").device.type)


def _class(package: Package) -> Any:
    """The class of models of a package; whisperx's is a subclass of faster-whisper's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whisperx imports pyannote, which warns of FFmpeg; neither is used
        if package == "whisperx":
            from whisperx.asr import WhisperModel
        else:
            from faster_whisper import WhisperModel
    return WhisperModel
