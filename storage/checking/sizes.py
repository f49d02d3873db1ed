"""Quick check of the latest corpus version, at each refresh: sizes of its files, and its number of utterances.

Cost: one stat for each file of the version. `check` reads every byte.
"""

from voicemill.storage.corpus import tables
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreDamaged
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.records import ShardFile


def damaged_files(corpus: CorpusVersion) -> list[ShardFile]:
    """Files of a version that are missing or have another size than the log states, those of `uploads` among them.

    Raises:
        StoreDamaged: the log of the utterances does not name all rows of the version.
    """
    store, version = corpus.store, corpus.version
    rows = sum(file.rows for file in corpus.shards("utterances"))
    if rows != version.counts.utterances and version.number not in forgotten_versions(store):
        stated = f"names {rows} utterances of version {version.number}, which has {version.counts.utterances}"
        raise StoreDamaged(tables.folder(store, "utterances") / "_delta_log", stated)
    files = [tables.shard_file(table, file) for table in sorted(version.pins) for file in corpus.shards(table)]
    return tables.missing_shards(store, files)
