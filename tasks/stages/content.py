"""content: phonetic content of every kept segment at 50 Hz, the features behind the semantic codes of s1 and s2.

What: float16 [frames, dims]; frame i covers samples 640 i to 640 i + 800 at 32 kHz.
Method: engine `whisper` is a layer of the embedded encoder of Whisper tiny.en; `encoder` one of any HuBERT, wav2vec 2.0
or WavLM by hub id or local folder (HuBERT: Hsu et al., IEEE/ACM TASLP 29, 2021); `mfcc-cmvn` and `mfcc` need no model.
Each names a feature table of its own. `tests/bench/content.py` compares them by phones, speakers and codes.
Cost, times real time on one core: HuBERT-base 11 with bfloat16 (`tests/bench/hubert.py`), Whisper 120 (300 with
bfloat16), MFCC 6,000.
On a CPU segments go one by one, so the bytes of one never depend on its neighbours; GPU batches are sorted by length,
and padding changes only the last bits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import model_validator

from voicemill.model.content.names import (
    CEPSTRA,
    MFCC_CMVN,
    MODEL_TABLE,
    WHISPER_LAYER,
    WHISPER_LAYERS,
    WHISPER_WEIGHTS,
    whisper_layer,
    whisper_name,
)
from voicemill.model.embedded import WHISPER
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

    engine: Literal["auto", "whisper", "mfcc-cmvn", "mfcc", "encoder"] = "auto"
    """auto: whisper where the extra `models` is installed, else mfcc-cmvn. mfcc-cmvn: cepstra of mean 0 and variance 1
    over the segment; mfcc: plain cepstra, which name the speaker, as in older stores. encoder loads `model`."""
    model: str = "TencentGameMate/chinese-hubert-base"
    """Hub id (org/name, org/name@revision) or local folder. Default: the model of GPT-SoVITS checkpoints."""
    layer: int = -1
    """0 = input of the transformer, n = output of its n-th layer. -1: the last one, as in GPT-SoVITS; of whisper the
    one that measures best."""
    normalise: Literal["auto", "on", "off"] = "auto"
    """encoder: zero mean and unit variance of each segment's wave; auto: as the model's preprocessor_config.json says,
    except for models with a group norm (HuBERT-base), which are blind to the level; GPT-SoVITS feeds them raw.
    whisper: of each feature over the segment; auto: on."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one, for whisper the CPU, on which it is fast enough."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 where the hardware multiplies it. A result that is not finite is computed again in float32."""
    batch_s: Seconds | None = None
    """Seconds of padded audio in one batch, 0 = one segment at a time. Default: 0 on a CPU, where batches gain
    7 % (`tests/bench/hubert.py`) and the bytes of a segment would depend on its neighbours; 60 on a GPU."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.layer < -1:
            raise ValueError(f"content.layer = {self.layer}: give -1 (the default), 0 (the input) or a layer's number")
        if self.engine in ("auto", "whisper") and self.layer > WHISPER_LAYERS:
            raise ValueError(f"content.layer = {self.layer}: the encoder of Whisper has layers 0 to {WHISPER_LAYERS}")
        if self.batch_s is not None and not 0 <= self.batch_s <= 3600:
            raise ValueError(f"content.batch_s = {self.batch_s}: give 0 to 3600 seconds")
        if self.engine == "encoder" and not self.model.strip():
            raise ValueError("content.model is empty, but content.engine = 'encoder' needs one")
        return self


def table_name(settings: Settings) -> str:
    """Name of the feature table, so that the features of one encoder are never mistaken for those of another."""
    if settings.engine == "encoder":
        return MODEL_TABLE
    if settings.engine in CEPSTRA:
        return settings.engine
    if settings.engine == "auto" and not WHISPER.is_installed:
        return MFCC_CMVN
    return whisper_name(WHISPER_LAYER if settings.layer == -1 else settings.layer, settings.normalise != "off")


class _Engine:
    """Encoder of the settings, and how much it takes at once."""

    def __init__(self, settings: Settings) -> None:
        from voicemill.model.content.encoders import ContentEncoder, FiniteEncoder, load_encoder, wants_normalised
        from voicemill.model.device import place
        from voicemill.model.hub import resolve

        self.longest = 0
        self._encoder: ContentEncoder
        if settings.engine == "encoder":
            folder, at = resolve(settings.model, "content.model"), place(settings.device, settings.precision)
            normalise = wants_normalised(folder) if settings.normalise == "auto" else settings.normalise == "on"
            self._encoder = FiniteEncoder(folder, settings.layer, at, normalise)
            seconds = settings.batch_s if settings.batch_s is not None else 60 * (at.device.type != "cpu")
            self.longest = round(seconds * RATE / 2)
        else:
            at = place("cuda" if settings.device == "cuda" else "cpu", settings.precision)
            self._encoder = load_encoder(table_name(settings), "content.engine", at)

    def encode(self, waves: Sequence[Wave]) -> list[Any]:
        """Features of one batch."""
        return self._encoder.encode(waves)


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
    from voicemill.model.content.pretrained import batches

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
    """Digest of the encoder that these settings load."""
    if settings.engine != "encoder":
        if not whisper_layer(table_name(settings)):
            return {}
        WHISPER.path(WHISPER_WEIGHTS)
        return {"content.engine": WHISPER.digest}
    from voicemill.model.hub import digest_of, resolve

    return {"content.model": digest_of(resolve(settings.model, "content.model"))}


def resources(settings: Settings) -> Resources:
    """GPU memory of the encoder: its weights, and 1 GB for `batch_s` = 60."""
    if settings.engine != "encoder":
        on_gpu = settings.device == "cuda" and whisper_layer(table_name(settings))
        return Resources(gpu_mb=600) if on_gpu else Resources()
    if settings.device == "cpu":
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
