"""Speech recognition by Whisper through whisperx, in batches.

What: log-mel of each segment padded to Whisper's 30 s window, then `generate_segment_batched` of whisperx (CTranslate2,
beam search, no timestamps). None of whisperx's voice activity detectors is loaded or run.
Cost: a window costs the same whatever it holds; segments over 30 s are recognised in equal parts.
Results do not depend on the batch in float32 and float16, up to ties in the beam.
Source: Radford et al. 2022 (Whisper); Bain et al. 2023 (whisperx).
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

WHISPER_RATE = 16_000
WINDOW = 30 * WHISPER_RATE
"""Samples in the window of Whisper, 30 s."""


@dataclass(frozen=True)
class Options:
    """Options of whisperx's generation, with whisperx's own defaults."""

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


class Whisper:
    """A faster-whisper model from a local folder, loaded once."""

    def __init__(
        self, folder: Path, device: Literal["auto", "cpu", "cuda"], compute_type: str = "default", beam_size: int = 5
    ) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whisperx imports pyannote, which warns of FFmpeg; neither is used
            from whisperx.asr import WhisperModel

        from voicemill.model.device import place

        where = place(device, "float32").device.type
        if compute_type == "default":
            compute_type = "float16" if where == "cuda" else "float32"
        self._options = Options(beam_size)
        self._model: Any = WhisperModel(
            str(folder), device=where, compute_type=compute_type, cpu_threads=torch.get_num_threads()
        )

    def transcribe(self, waves: Sequence[Wave], language: str, batch_size: int = 8) -> list[tuple[str, float]]:
        """Text of each wave, float32 [samples], 32 kHz, and the mean log probability of its tokens."""
        from faster_whisper.tokenizer import Tokenizer

        multilingual = self._model.model.is_multilingual
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language)
        parts = [(number, part) for number, wave in enumerate(waves) for part in _windows(_low(wave))]
        texts: list[list[tuple[str, float]]] = [[] for _ in waves]
        for at in range(0, len(parts), batch_size):
            numbers, batch = zip(*parts[at : at + batch_size], strict=True)
            features = np.stack([self._features(part) for part in batch])
            out = self._model.generate_segment_batched(features, tokenizer, self._options)
            for number, text, score in zip(numbers, out["text"], out["avg_logprob"], strict=True):
                texts[number].append((text.strip(), float(score)))
        return [(" ".join(t for t, _ in all_), float(np.mean([s for _, s in all_]))) for all_ in texts]

    def language_of(self, waves: Sequence[Wave]) -> str:
        """ISO 639-1 code of the likeliest language in the first 30 s of the segments together; "en" for an English-only
        model."""
        if not self._model.model.is_multilingual:
            return "en"
        joined, need = [], WINDOW
        for wave in waves:
            joined.append(_low(wave)[:need])
            need -= len(joined[-1])
            if not need:
                break
        encoded = self._model.encode(self._features(np.concatenate(joined)))
        token = self._model.model.detect_language(encoded)[0][0][0]
        return str(token).strip("<|>")

    def _features(self, low: Wave) -> Wave:
        from whisperx.audio import log_mel_spectrogram

        mels = self._model.feat_kwargs.get("feature_size") or 80
        features: Wave = log_mel_spectrogram(low, n_mels=mels, padding=WINDOW - len(low)).numpy()
        return features


def _low(wave: Wave) -> Wave:
    import soxr

    return np.asarray(soxr.resample(wave, RATE, WHISPER_RATE), np.float32)


def _windows(low: Wave) -> Iterator[Wave]:
    yield from np.array_split(low, -(-len(low) // WINDOW))
