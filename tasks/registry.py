"""The list of stages, and what follows from it: names, order of execution, where a batch enters and leaves.

A new stage is one module in `tasks/stages/` and one line in `_LIST`; `shards`, which writes the files that are
published, lies in `tasks/publishing/`. The order of the list is that of the sections of a config, of the keys
that a stage which reads all others is made of, and of stages that could run at the same time.
"""

from collections.abc import Callable
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

from voicemill.tasks.contract.stage import Stage
from voicemill.tasks.publishing import shards
from voicemill.tasks.stages import (
    align,
    content,
    decode,
    denoise,
    diarise,
    f0,
    loudness,
    mel,
    quality,
    screen,
    speaker,
    transcribe,
)
from voicemill.tasks.stages import slice as slice_

_LIST: tuple[Stage[Any], ...] = (
    decode.STAGE,
    diarise.STAGE,
    slice_.STAGE,
    denoise.STAGE,
    loudness.STAGE,
    quality.STAGE,
    screen.STAGE,
    speaker.STAGE,
    transcribe.STAGE,
    align.STAGE,
    content.STAGE,
    f0.STAGE,
    mel.STAGE,
    shards.STAGE,
)


def _filled_in(stage: Stage[Any]) -> Stage[Any]:
    """A stage with `needs` filled in where it reads all others."""
    others = tuple(other.name for other in _LIST if other is not stage)
    return replace(stage, needs=others) if stage.needs_all else stage


STAGES: tuple[Stage[Any], ...] = tuple(_filled_in(stage) for stage in _LIST)
"""Every stage."""

BY_NAME: dict[str, Stage[Any]] = {stage.name: stage for stage in STAGES}

(SOURCE,) = (stage for stage in STAGES if not stage.needs)
"""The one stage that reads the uploads themselves; its rows carry the digest of the decoded samples."""

VOICES = speaker.STAGE
"""The stage whose outputs of other batches are the references of a batch's speakers."""

(SINK,) = (stage for stage in STAGES if stage.needs_all)
"""The one stage that reads all others; its rows are the files of the batch."""


def execution_order(settings_of: Callable[[str], Any]) -> tuple[Stage[Any], ...]:
    """Every stage after those it reads under these settings; stages at the same depth in the order of the list.

    Raises:
        graphlib.CycleError: stages read one another.
    """
    sorter = TopologicalSorter({stage.name: stage.inputs_of(settings_of(stage.name)) for stage in STAGES})
    sorter.prepare()
    place = {stage.name: number for number, stage in enumerate(STAGES)}
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        order += ready
        sorter.done(*ready)
    return tuple(BY_NAME[name] for name in order)
