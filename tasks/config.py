"""The whole configuration: the settings of every stage, and of the run around them. Shipped configs are TOML files."""

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from storage.errors import ConfigError
from tasks import (
    align,
    batches,
    content,
    decode,
    denoise,
    f0,
    loudness,
    mel,
    publish,
    scan,
    screen,
    shards,
    transcribe,
)
from tasks import slice as slice_
from tasks.stage import Stage, StageSettings

STAGES: tuple[Stage[Any], ...] = (
    decode.STAGE,
    slice_.STAGE,
    denoise.STAGE,
    transcribe.STAGE,
    loudness.STAGE,
    align.STAGE,
    screen.STAGE,
    content.STAGE,
    f0.STAGE,
    mel.STAGE,
    shards.STAGE,
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

    scan: scan.Settings = scan.Settings()
    batches: batches.Settings = batches.Settings()
    decode: decode.Settings = decode.Settings()
    slice: slice_.Settings = slice_.Settings()
    denoise: denoise.Settings = denoise.Settings()
    loudness: loudness.Settings = loudness.Settings()
    screen: screen.Settings = screen.Settings()
    transcribe: transcribe.Settings = transcribe.Settings()
    align: align.Settings = align.Settings()
    content: content.Settings = content.Settings()
    f0: f0.Settings = f0.Settings()
    mel: mel.Settings = mel.Settings()
    shards: shards.Settings = shards.Settings()
    publish: publish.Settings = publish.Settings()
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
