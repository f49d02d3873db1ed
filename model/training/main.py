"""Train what the run.json of a folder asks for: `python -m model.training.main FOLDER`, alone or under torchrun.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m model.training.main FOLDER

It goes on from the folder's newest checkpoint where there is one; a training that has ended well is not begun again.

Exit status: 0 trained to its end; 1 an error, told in a line or as a traceback; 3 a stated bad outcome, in result.json
(not_finite, no_memory, no_data); 143 ended by SIGTERM, to be gone on with.
"""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import distributed

from model.data.loader import Loader
from model.training.loop import Terminated, Training
from model.training.objective import Objective
from model.training.ranks import Ranks
from model.training.run import Result, RunSpec, finish, result
from model.training.starting import objective_of
from model.training.stepping import Source
from storage.errors import ConfigError, NoData, VoicemillError
from storage.store import Store
from storage.versions import CorpusVersion

GOOD, FAILED, BAD, ENDED = 0, 1, 3, 143


def train(folder: Path, build: Callable[[RunSpec, Ranks], tuple[Objective, Source]]) -> int:
    """Run the training of a folder in this process, one of its ranks; returns the exit status.

    `build` makes what is trained and what it is trained on; NoData of it is an outcome, other errors are raised.
    """
    spec = RunSpec.read(folder)
    known = result(folder)
    if known and known.good:
        print(f"{folder} is trained already: {known.outcome}, {known.detail}", flush=True)
        return GOOD
    ranks = Ranks(spec.settings.loop)
    if ranks.first:
        (folder / "result.json").unlink(missing_ok=True)  # of an attempt that ended badly
    try:
        torch.manual_seed(spec.settings.loop.seed)  # initial weights
        objective, source = build(spec, ranks)
        outcome = Training(spec, folder, ranks, objective, source).run()
    except Terminated:
        return ENDED
    except NoData as error:
        outcome = Result("no_data", str(error), 0, 0, math.nan, {})
    if ranks.first:
        finish(folder, outcome)
        print(f"{outcome.outcome}: {outcome.detail}", flush=True)
    ranks.wait()
    return GOOD if outcome.good else BAD


def corpus(spec: RunSpec, ranks: Ranks) -> tuple[Objective, Source]:
    """The network of a run, and the examples of its corpus version.

    Raises StoreError (NoData: nothing to train on), ConfigError, CheckpointError.
    """
    loader: Loader | None = None
    failure: VoicemillError | None = None
    if ranks.first:  # it makes the phones of shards that were never trained on; the others find them
        try:
            loader = _loader(spec)
            print(loader.describe(), flush=True)
        except VoicemillError as error:
            failure = error
    if failure := ranks.given(failure):
        raise failure
    loader = loader or _loader(spec)
    objective = objective_of(spec, loader.dims, loader.examples)
    return objective, loader.needing(objective.needs)


def _loader(spec: RunSpec) -> Loader:
    settings = spec.settings
    if spec.phase not in settings.phases:
        raise ConfigError(f"phase {spec.phase!r} is not in the settings; there are: {', '.join(settings.phases)}")
    corpus = CorpusVersion.open(Store.open(spec.store), spec.version)
    return Loader.open(corpus, settings.data, settings.phases[spec.phase], spec.speakers, settings.loop.seed)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    if len(arguments) != 1:
        print("usage: python -m model.training.main FOLDER    (with a run.json)", file=sys.stderr)
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
