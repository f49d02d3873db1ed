"""Run the training that the run.json of a folder describes: `python -m voicemill.model.training.main FOLDER`, alone or
as one of several ranks:

    python -m voicemill.model.training.engine.start_ranks 2 python -m voicemill.model.training.main FOLDER

It continues from the newest checkpoint of the folder; a training that has finished is not repeated.

Exit status: 0 finished; 1 an error, as a message or a traceback; 3 a failure that result.json states (not_finite,
no_memory, no_data); 143 ended by SIGTERM, can be continued.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import distributed

from voicemill.model.content.names import content_name
from voicemill.model.data.loader import Loader
from voicemill.model.data.voices import mean_voices
from voicemill.model.training.engine.loop import Terminated, Training
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.ranks import Ranks
from voicemill.model.training.engine.run import Result, RunSpec, finish, result
from voicemill.model.training.engine.stepping import Source
from voicemill.model.training.starting import objective_of
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NoData, VoicemillError
from voicemill.storage.store import Store

GOOD, FAILED, BAD, ENDED = 0, 1, 3, 143


@dataclass(frozen=True)
class Material:
    """Network and data of a training."""

    objective: Objective
    source: Source
    content: str = ""
    """Content encoder of the corpus, as `voicemill speak --content` takes it; "" = not known."""


def train(folder: Path, build: Callable[[RunSpec, Ranks], Material]) -> int:
    """Run the training of a folder in this process, one of its ranks; return the exit status.

    `build` makes network and data; its NoData is an outcome, other errors are raised.
    """
    spec = RunSpec.read(folder)
    known = result(folder)
    if known and known.good:
        print(f"{folder} is finished: {known.outcome}, {known.detail}", flush=True)
        return GOOD
    ranks = Ranks(spec.settings.loop)
    if ranks.first:
        (folder / "result.json").unlink(missing_ok=True)  # left by a failed attempt
    try:
        torch.manual_seed(spec.settings.loop.seed)  # initial weights
        made = build(spec, ranks)
        outcome = Training(spec, folder, ranks, made.objective, made.source, made.content).run()
    except Terminated:
        return ENDED
    except NoData as error:
        outcome = Result(outcome="no_data", detail=str(error), step=0, best_step=0, best=math.nan, losses={})
    if ranks.first:
        finish(folder, outcome)
        print(f"{outcome.outcome}: {outcome.detail}", flush=True)
    ranks.wait()
    return GOOD if outcome.good else BAD


def corpus(spec: RunSpec, ranks: Ranks) -> Material:
    """Return the network of a run, and the examples of its corpus version.

    Raises StoreError (NoData: nothing to train on), ConfigError, CheckpointError.
    """
    settings = spec.settings
    if spec.phase not in settings.phases:
        raise ConfigError(f"phase {spec.phase!r} is not in the settings; there are: {', '.join(settings.phases)}")
    version = CorpusVersion.open(Store.open(spec.store), spec.version)

    def opened() -> Loader:
        return Loader.open(version, settings.data, settings.phases[spec.phase], spec.speakers, settings.loop.seed)

    loader: Loader | None = None
    failure: VoicemillError | None = None
    if ranks.first:  # it computes the phones of new shards; the other ranks read them
        try:
            loader = opened()
            print(loader.describe(), flush=True)
        except VoicemillError as error:
            failure = error
    if failure := ranks.broadcast(failure):
        raise failure
    loader = loader or opened()
    content = content_name(version.version.config.get("content", {}), version.version.features["content"])
    objective = objective_of(
        spec,
        loader.dims,
        loader.examples,
        speakers=loader.index.speakers,
        content=content,
        voices=partial(mean_voices, version),
    )
    if ranks.first and "bounds" in objective.needs:
        print(loader.describe_alignment(), flush=True)
    return Material(objective, loader.with_needs(objective.needs), content)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    if len(arguments) != 1:
        print("usage: python -m voicemill.model.training.main FOLDER    (with a run.json)", file=sys.stderr)
        return FAILED
    try:
        return train(Path(arguments[0]), corpus)
    except VoicemillError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return FAILED
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
