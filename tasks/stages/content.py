"""content: phonetic content of every kept segment at 50 Hz, the features behind the semantic codes of s1 and s2.

What: float16 [frames, dims]; frame i covers samples 640 i to 640 i + 800 at 32 kHz.
Method: engine `encoder` is any HuBERT, wav2vec 2.0 or WavLM by hub id or local folder (HuBERT: Hsu et al., IEEE/ACM
TASLP 29, 2021), one layer of it; engines `mfcc-cmvn` and `mfcc` need no model, and
name tables of their own.
Cost, times real time on one core: HuBERT-base 11 with bfloat16 (`tests/bench/hubert.py`), MFCC 6,000.
On a CPU segments go one by one, so the bytes of one never depend on its neighbours; GPU batches are sorted by length,
and padding changes only the last bits.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Feature, Screened
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract.models import Resources, weights_mb
from voicemill.tasks.contract.prepared import Prepared, kept_segments
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded
from voicemill.tasks.stages.mel import feature_row

VERSION = 1

WINDOW = 128
"""Segments in memory at a time, from which batches are formed."""


class Settings(StageSettings):
    """Encoder, layer, device and precision."""

    engine: Literal["mfcc-cmvn", "mfcc", "encoder"] = "mfcc-cmvn"
    """mfcc-cmvn: cepstra of mean 0 and variance 1 over the segment, which do not name the speaker; mfcc: plain
    cepstra, as in stores made before; both need no model. encoder loads `model`. Default: needs no download."""
    model: str = "TencentGameMate/chinese-hubert-base"
    """Hub id (org/name, org/name@revision) or local folder. Default: the model of GPT-SoVITS checkpoints."""
    layer: int = -1
    """0 = input of the transformer, n = output of its n-th layer, -1 = the last. Default: that of GPT-SoVITS."""
    normalise: Literal["auto", "on", "off"] = "auto"
    """Zero mean and unit variance for each segment. auto: as the model's preprocessor_config.json says, except for
    models with a group norm (HuBERT-base), which are blind to the level; GPT-SoVITS feeds them raw."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 where the hardware multiplies it. A result that is not finite is computed again in float32."""
    batch_s: Seconds | None = None
    """Seconds of padded audio in one batch, 0 = one segment at a time. Default: 0 on a CPU, where batches gain
    7 % (`tests/bench/hubert.py`) and the bytes of a segment would depend on its neighbours; 60 on a GPU."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.layer < -1:
            raise ValueError(f"content.layer = {self.layer}: give -1 (the last), 0 (the input) or a layer's number")
        if self.batch_s is not None and not 0 <= self.batch_s <= 3600:
            raise ValueError(f"content.batch_s = {self.batch_s}: give 0 to 3600 seconds")
        if self.engine == "encoder" and not self.model.strip():
            raise ValueError("content.model is empty, but content.engine = 'encoder' needs one")
        return self


def table_name(settings: Settings) -> str:
    """Name of the feature table, so that MFCC are never mistaken for the features of a model."""
    return "content" if settings.engine == "encoder" else settings.engine


class _Engine:
    """Engine of the settings; a second encoder in float32 is loaded when a result is not finite."""

    def __init__(self, settings: Settings) -> None:
        from voicemill.model.device import place
        from voicemill.model.hub import resolve
        from voicemill.model.speech.content import Encoder
        from voicemill.model.speech.encoders import ContentEncoder, cepstra

        self._again: Encoder | None = None
        self._folder: Path | None = None
        self._layer, self.longest = settings.layer, 0
        self._main: ContentEncoder
        if settings.engine != "encoder":
            self._main = cepstra(settings.engine)
        else:
            self._folder = resolve(settings.model, "content.model")
            self._norm = wants_normalised(self._folder) if settings.normalise == "auto" else settings.normalise == "on"
            self._place = place(settings.device, settings.precision)
            self._main = Encoder.load(self._folder, self._layer, self._place, self._norm)
            seconds = settings.batch_s if settings.batch_s is not None else 60 * (self._place.device.type != "cpu")
            self.longest = round(seconds * RATE / 2)

    def encode(self, waves: Sequence[Wave]) -> list[Any]:
        """Features of one batch; those that are not finite are computed again in float32."""
        found = self._main.encode(waves)
        if self._folder is None or all(np.isfinite(x).all() for x in found):
            return found
        if self._again is None:
            from voicemill.model.device import place
            from voicemill.model.speech.content import Encoder

            plain = place("cpu" if self._place.device.type == "cpu" else "cuda", "float32")
            self._again = Encoder.load(self._folder, self._layer, plain, self._norm)
        return [
            x if np.isfinite(x).all() else self._again.encode([wave])[0] for x, wave in zip(found, waves, strict=True)
        ]


def wants_normalised(folder: Path) -> bool:
    """Whether a model's files ask for input of zero mean and unit variance, and the model is not blind to it."""
    from voicemill.storage.files import read_json

    config, preprocessor = (read_json(folder / f"{name}.json", {}) for name in ("config", "preprocessor_config"))
    return config.get("feat_extract_norm") == "layer" and bool(preprocessor.get("do_normalize", False))


def run(inputs: Inputs, settings: Settings) -> Iterator[Feature | Failure]:
    """One `Feature` for each kept segment, in their order."""
    rows = kept_segments(inputs)
    if not rows:
        return
    key = ("content", *models(settings).values(), settings.model_dump_json())
    engine = inputs.model(key, lambda: _Engine(settings), resources(settings).gpu_mb)
    prepared = Prepared(inputs)
    for start in range(0, len(rows), WINDOW):
        yield from _window(rows[start : start + WINDOW], engine, prepared.read)


def _window(rows: Sequence[Screened], engine: _Engine, read: Any) -> Iterator[Feature | Failure]:
    from voicemill.model.audio.resampling import to_16_khz
    from voicemill.model.speech.content import batches

    done: dict[int, Feature | Failure] = {}
    waves: dict[int, Wave] = {}
    for i, row in enumerate(rows):
        for item in guarded(row.upload, lambda row=row: [to_16_khz(read(row.upload, row.index))], row.index):  # type: ignore[misc]
            if isinstance(item, Failure):
                done[i] = item
            else:
                waves[i] = item

    def encode(members: Sequence[int]) -> list[Feature]:
        found = engine.encode([waves[i] for i in members])
        return [feature_row(rows[i].upload, rows[i].index, x) for i, x in zip(members, found, strict=True)]

    at = list(waves)
    for group in batches([len(waves[i]) for i in at], engine.longest):
        members = [at[k] for k in group]
        found = list(guarded(rows[members[0]].upload, lambda members=members: encode(members), rows[members[0]].index))  # type: ignore[misc]
        if len(members) > 1 and any(isinstance(item, Failure) for item in found):
            found = [
                item
                for i in members
                for item in guarded(rows[i].upload, lambda i=i: encode([i]), rows[i].index)  # type: ignore[misc]
            ]
        done.update(zip(members, found, strict=True))
    yield from (done[i] for i in range(len(rows)))


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of the encoder's folder."""
    if settings.engine != "encoder":
        return {}
    from voicemill.model.hub import digest_of, resolve

    return {"content.model": digest_of(resolve(settings.model, "content.model"))}


def resources(settings: Settings) -> Resources:
    """GPU memory of the encoder: its weights, and 1 GB for `batch_s` = 60."""
    if settings.engine != "encoder" or settings.device == "cpu":
        return Resources()
    from voicemill.model.hub import resolve

    return Resources(gpu_mb=weights_mb(resolve(settings.model, "content.model")) + 1000)


STAGE = Stage(
    name="content",
    version=VERSION,
    settings=Settings,
    needs=("denoise", "loudness", "screen"),
    row=Feature,
    run=run,
    models=models,
    resources=resources,
    named_models=lambda settings: {"content.model": settings.model} if settings.engine == "encoder" else {},
    feature_table=table_name,
)
