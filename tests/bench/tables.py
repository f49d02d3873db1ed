"""How publish, reading and forgetting grow with the corpus: `python tests/bench/tables.py [batches ...]`.

Batches of four uploads of four speakers each, with everything but audio of real length: the cost measured is
that of files and log entries, the part that grows. Prints a table and writes bench/tables.json.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import factories as f

from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.sweeping import sweep
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store
from voicemill.tasks.publishing.publish import Settings, publish


def measure(batches: int) -> dict[str, float]:
    """Seconds of each step on a store of `batches` batches and, for the second version, one more."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store", create=True)
        made, rows = {}, []
        began = time.perf_counter()
        for number in range(batches):
            uploads = (f.upload(f"speaker {number % 50 * 4 + n}", number, 1.0) for n in range(4))
            batch = f.make_batch(number, *uploads)
            made[batch.id] = f.shards(store, batch)
            rows += f.upload_rows(store, batch, made[batch.id][1])
        figures = {"batches": float(batches), "files": 0.0, "make the shards": time.perf_counter() - began}

        def timed(name: str, began: float) -> None:
            figures[name] = time.perf_counter() - began

        def go(shards: object, uploads: object) -> object:
            return publish(
                store,
                uploads=uploads,  # type: ignore[arg-type]
                shards=shards,  # type: ignore[arg-type]
                recipe=f.RECIPE,
                config={},
                feature_tables=f.FEATURE_TABLES,
                created=f.WHEN,
                settings=Settings(),
            )

        began = time.perf_counter()
        go(made, rows)
        timed("first publish", began)
        known: dict[str, object] = {id_: (key, None) for id_, (key, _) in made.items()}
        batch = f.make_batch(batches, f.upload("speaker 1", batches, 1.0))
        made[batch.id] = f.shards(store, batch)
        rows += f.upload_rows(store, batch, made[batch.id][1])
        began = time.perf_counter()
        go({**known, batch.id: made[batch.id]}, rows)
        timed("one batch more", began)
        began = time.perf_counter()
        assert go({id_: (key, None) for id_, (key, _) in made.items()}, rows) is None
        timed("nothing new", began)
        figures["files"] = float(sum(len(tables.active(store, name)) for name in tables.names(store)))
        began = time.perf_counter()
        CorpusVersion.open(store).utterances(["id", "text", "seconds"])
        timed("read texts", began)
        began = time.perf_counter()
        sweep(store, versions.pins(store))
        timed("sweep", began)
        began = time.perf_counter()
        forget_speaker(store, "speaker 7", created=f.WHEN)
        timed("forget", began)
        return figures


def main() -> None:
    """Measure and print."""
    results = [measure(int(size)) for size in sys.argv[1:] or ("25", "100", "400")]
    for name in results[0]:
        print(f"{name:18}" + "".join(f"{figures[name]:12.3f}" for figures in results))
    out = Path("bench")
    out.mkdir(exist_ok=True)
    (out / "tables.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
