"""The utterances of each source of a phase's mix."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from voicemill.model.data.index import Index
from voicemill.storage.corpus.text_coverage import text_gaps, text_shares
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NoData


def masks(
    corpus: CorpusVersion, index: Index, names: Iterable[str], speakers: Sequence[str]
) -> Mapping[str, NDArray[np.bool_]]:
    """Map each source to a mask over the rows of the index: "target" = `speakers`, "others" = the rest, "all".

    Raises:
        ConfigError: the mix has a target and no speaker is named, or a named speaker is not in the version.
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
    available = {"target": target, "others": ~target, "all": np.ones(len(index), dtype=bool)}
    for name in names:
        if not available[name].any():
            who = f" of {', '.join(speakers)}" if name == "target" else ""
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(index.left_out.items())) or "none"
            raise NoData(
                f"{where} has no utterance{who} for the source {name!r} of the mix. Left out of the whole version: "
                f"{counts}. {_advice(corpus, name, speakers)}, or choose a phase whose mix does not need it"
            )
    return {name: available[name] for name in names}


def _advice(corpus: CorpusVersion, name: str, speakers: Sequence[str]) -> str:
    """Advice to the user of an empty source: transcribe the utterances that it has, else add recordings."""
    shares = [s for s in text_shares(corpus) if name == "all" or (s.speaker in speakers) == (name == "target")]
    gaps = "; ".join(gap.line for gap in text_gaps(shares))
    if gaps:
        return f"{gaps}. Then run `voicemill refresh`"
    if shares:
        return "`voicemill config show --training` explains the limits of [data] that leave them out: change those"
    return "Add recordings and run `voicemill refresh`"
