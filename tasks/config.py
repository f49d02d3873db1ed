"""The configuration of a refresh: settings of every stage and of the run; shipped configs are TOML files."""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model

from voicemill.storage.settings_file import load_settings
from voicemill.tasks.contract.stage import StageSettings
from voicemill.tasks.intake.batches import Settings as BatchSettings
from voicemill.tasks.intake.scan import Settings as ScanSettings
from voicemill.tasks.publishing.breaker import Settings as BreakerSettings
from voicemill.tasks.registry import STAGES


class RunSettings(StageSettings):
    """Distribution of the work over processes. None of it changes an output or enters a key."""

    runner: Literal["processes", "threads", "dask", "ray"] = "processes"
    """Where stages run: worker processes of this machine (if one dies, one upload fails), threads, or a cluster."""
    workers: int = Field(0, ge=0, le=256)
    """Stages that run at the same time on this machine; 0 = one per core."""
    lot_batches: int = Field(14, ge=1, le=14)
    """Batches in one subflow. Default and bound: 14 stages each, and Prefect copes with 200 task runs in a flow run."""

    @property
    def count(self) -> int:
        """Number of workers; 0 resolved to the cores that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


class NotifySettings(StageSettings):
    """Who is told of failures. None of it changes an output, enters a key or is recorded with a version."""

    webhook: str = Field("", repr=False)
    """Address that receives each notice by POST, as JSON with kind, text, when and key; "" = none. It often holds a
    secret: keep the file to yourself."""
    block: str = ""
    """Notification block of the Prefect server, as type/name, such as slack-webhook/voices; "" = none."""
    late_days: float = Field(35.0, gt=0)
    """Days without a completed refresh after which one is late. Default: the monthly schedule and four days."""
    free_gb: float = Field(2.0, ge=0)
    """Free space of the store's disk, GB, below which it is nearly full. Default: that of `voicemill doctor`."""


class _Intake(StageSettings):
    scan: ScanSettings = ScanSettings()
    batches: BatchSettings = BatchSettings()


if TYPE_CHECKING:

    class _Preparation(_Intake):
        def __getattr__(self, stage: str) -> Any: ...

else:  # one section for each stage of the list
    _Preparation = create_model(
        "_Preparation", __base__=_Intake, **{stage.name: (stage.settings, stage.settings()) for stage in STAGES}
    )


class Config(_Preparation):
    """The sections `scan` and `batches`, one for each stage, `publish`, `run` and `notify`."""

    publish: BreakerSettings = BreakerSettings()
    run: RunSettings = RunSettings()
    notify: NotifySettings = NotifySettings()

    def recorded(self) -> dict[str, Any]:
        """Settings as JSON values, for versions and plans; without `notify`, whose address may hold a secret."""
        return self.model_dump(mode="json", exclude={"notify"})

    def of(self, stage: str) -> Any:
        """The settings of a stage."""
        return getattr(self, stage)

    @cached_property
    def models(self) -> dict[str, dict[str, str]]:
        """Stage -> setting -> digest, for every model that this config loads.

        Raises:
            ModelMissing: a model is not on this machine.
        """
        digests = {stage.name: dict(stage.models(self.of(stage.name))) for stage in STAGES if stage.models}
        return {name: models for name, models in digests.items() if models}


SHIPPED = Path(__file__).parent / "configs"
"""Folder of the shipped configs: `default` (no network, no GPU) and `production`."""


def load(name: str | Path | None = None) -> Config:
    """Read a config: a TOML file, a shipped one by name, or the default. Omitted settings keep their defaults.

    Raises:
        ConfigError: the file is missing or not TOML, a section or setting is unknown, a value is out of range.
    """
    return load_settings(Config, name or "default", SHIPPED, "voicemill config show")


def named_models(config: Config) -> list[tuple[str, str]]:
    """(setting, model) for every model that this config names by hub id or folder."""
    return [
        pair for stage in STAGES if stage.named_models for pair in stage.named_models(config.of(stage.name)).items()
    ]
