"""Which utterances each source of a phase's mix is made of."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from voicemill.model.data.index import Index
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NoData


def masks(
    corpus: CorpusVersion, index: Index, names: Iterable[str], speakers: Sequence[str]
) -> Mapping[str, NDArray[np.bool_]]:
    """Source -> bool over the rows of the index. "target": utterances of `speakers`; "others": the rest; "all".

    Raises:
        ConfigError: there is a target in the mix and nobody is named, or somebody is not in the version.
        NoData: a source has no utterance that can be trained on.
    """
    names = list(names)
    where = f"corpus version {index.version} of {corpus.store.root}"
    if "target" in names and not speakers:
        raise ConfigError("the mix of this phase has a target, and no speaker is named: give one with --speaker")
    if unknown := set(speakers) - {file.speaker for file in corpus.shards("utterances") if file.rows}:
        raise ConfigError(
            f"{', '.join(sorted(unknown))}: no such speaker in {where}; `voicemill ledger --by speaker` names all"
        )
    target = np.isin(index.speaker, [n for n, name in enumerate(index.speakers) if name in speakers])
    found = {"target": target, "others": ~target, "all": np.ones(len(index), dtype=bool)}
    for name in names:
        if not found[name].any():
            who = f" of {', '.join(speakers)}" if name == "target" else ""
            left = ", ".join(f"{count} {reason}" for reason, count in sorted(index.left_out.items())) or "none"
            raise NoData(
                f"{where} has no utterance{who} for the source {name!r} of the mix. Left out of the whole version: "
                f"{left}. Add recordings and run `voicemill refresh`, or give a phase whose mix is without it"
            )
    return {name: found[name] for name in names}
