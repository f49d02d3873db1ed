"""The whole configuration: the settings of every stage, and of the run around them. Shipped configs are TOML files."""

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from voicemill.storage.errors import ConfigError
from voicemill.tasks.contract.stage import Stage, StageSettings
from voicemill.tasks.intake import batches as batches_
from voicemill.tasks.intake import scan as scan_
from voicemill.tasks.publishing import breaker as breaker_
from voicemill.tasks.stages import align as align_
from voicemill.tasks.stages import content as content_
from voicemill.tasks.stages import decode as decode_
from voicemill.tasks.stages import denoise as denoise_
from voicemill.tasks.stages import f0 as f0_
from voicemill.tasks.stages import loudness as loudness_
from voicemill.tasks.stages import mel as mel_
from voicemill.tasks.stages import screen as screen_
from voicemill.tasks.stages import shards as shards_
from voicemill.tasks.stages import slice as slice_
from voicemill.tasks.stages import transcribe as transcribe_

STAGES: tuple[Stage[Any], ...] = (
    decode_.STAGE,
    slice_.STAGE,
    denoise_.STAGE,
    transcribe_.STAGE,
    loudness_.STAGE,
    align_.STAGE,
    screen_.STAGE,
    content_.STAGE,
    f0_.STAGE,
    mel_.STAGE,
    shards_.STAGE,
)
"""In an order in which every stage comes after those it reads."""

BY_NAME: dict[str, Stage[Any]] = {stage.name: stage for stage in STAGES}

FEATURES = ("content", "f0", "mel")


class RunSettings(StageSettings):
    """How the work is spread. Nothing here changes an output, so nothing here enters a key."""

    runner: Literal["processes", "threads", "dask", "ray"] = "processes"
    """Where stages run: worker processes of this machine (a dying one costs one upload), threads, or a cluster."""
    workers: int = Field(0, ge=0, le=256)
    """Stages at once on this machine; 0 = as many as it has cores."""
    lot_batches: int = Field(16, ge=1, le=18)
    """Batches in one subflow: 11 stages each, and Prefect keeps up with 200 task runs in a flow run."""

    @property
    def count(self) -> int:
        """Workers, with 0 resolved to the cores this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


class Config(StageSettings):
    """One section for each stage, `scan`, `batches`, `publish` and `run`."""

    scan: scan_.Settings = scan_.Settings()
    batches: batches_.Settings = batches_.Settings()
    decode: decode_.Settings = decode_.Settings()
    slice: slice_.Settings = slice_.Settings()
    denoise: denoise_.Settings = denoise_.Settings()
    loudness: loudness_.Settings = loudness_.Settings()
    screen: screen_.Settings = screen_.Settings()
    transcribe: transcribe_.Settings = transcribe_.Settings()
    align: align_.Settings = align_.Settings()
    content: content_.Settings = content_.Settings()
    f0: f0_.Settings = f0_.Settings()
    mel: mel_.Settings = mel_.Settings()
    shards: shards_.Settings = shards_.Settings()
    publish: breaker_.Settings = breaker_.Settings()
    run: RunSettings = RunSettings()

    def of(self, stage: str) -> Any:
        """The settings of a stage."""
        return getattr(self, stage)

    @cached_property
    def models(self) -> dict[str, dict[str, str]]:
        """Stage -> setting -> digest of every model that this config loads.

        Raises:
            ModelMissing: one of them is not on this machine.
        """
        found = {stage.name: dict(stage.models(self.of(stage.name))) for stage in STAGES if stage.models}
        return {name: models for name, models in found.items() if models}


SHIPPED = Path(__file__).parent / "configs"
"""Configs that come with the program: `default` (no network, no GPU) and `production`."""


def load(name: str | Path | None = None) -> Config:
    """Read a config: a TOML file, the name of a shipped one, or the default. What it leaves out keeps its default.

    Raises:
        ConfigError: the file is missing or not TOML, a section or setting is unknown, a value is out of range.
    """
    name = name or "default"
    shipped = SHIPPED / f"{name}.toml"
    path = shipped if shipped.exists() else Path(name).expanduser()
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise ConfigError(
            f"no config {name!r}: neither a file nor one of the shipped ones ({names}); see `voicemill config show`"
        )
    try:
        return Config.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'config'} = {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise ConfigError(
            "\n".join([f"{path}: {len(lines)} settings are wrong:", *lines, "`voicemill config show` lists all."])
        ) from None


def named_models(config: Config) -> list[tuple[str, str]]:
    """(setting, model) for every model by hub id or folder that this config would load."""
    named = [(f"align.models.{language}", name) for language, name in sorted(config.align.models.items())]
    if config.content.engine == "encoder":
        named.insert(0, ("content.model", config.content.model))
    if config.transcribe.engine == "whisperx":
        named.insert(0, ("transcribe.model", config.transcribe.model))
    return named
