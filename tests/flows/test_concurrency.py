"""Refreshes, forgettings, trainings, promotions and withdrawals as processes on one store, all at the same time.

Afterwards nothing of the forgotten is left, every version reads, its ledger adds up to the sample, and no process runs.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.erasure_scan import needles, traces
from support.refreshed_store import RefreshedStore, check_ledger
from support.store_contents import processes
from support.tiny_voice import VOICE_TOML
from support.voice_entries import add_entry

from voicemill.flows.demo.voice import RATE, Line, speak
from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.status import read_status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

Words = tuple[object, ...]
REFUSALS = (
    "forgotten",
    "retired",
    "no voice",
    "held by",
    "no utterances",
    "no utterance of speaker 'ann'",
    "no speaker",
    "no entry",
)
"""Words of the messages by which a command may refuse, since another one has just taken away what it works on."""
SAID = (
    "harbour", "window", "seven", "yellow", "carpet", "machine", "letters", "morning", "bicycle", "thunder", "garden",
    "pencil", "orange", "captain", "mountain", "quiet", "village", "forest", "butter", "shadow", "bridge", "winter",
)  # fmt: skip
"""Words of the recordings that come."""


@dataclass
class Crowd:
    """Commands on one store, each in a loop of its own."""

    cli: Any
    folder: Path
    store: RefreshedStore
    over: threading.Event = field(default_factory=threading.Event)
    """Whether no new command starts any more."""
    done: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Loop -> status and messages of each of its commands."""
    needles: dict[str, bytes] = field(default_factory=dict)
    """Bytes of the forgotten."""

    def loop(self, name: str, commands: Iterable[Words]) -> None:
        """Run commands one after another until the time is over."""
        for words in commands:
            self.run(name, words)
            if self.over.is_set():
                return

    def run(self, name: str, words: Words) -> None:
        """Run a command to its end."""
        with self.cli.start(*words) as process:
            out, err = process.communicate(timeout=600)
        self.done.setdefault(name, []).append((process.returncode, err or out[-300:]))

    def refreshes(self) -> Iterator[Words]:
        """Bob says something new each time."""
        for number in count():
            self.add("bob", number)
            yield ("refresh", "--inbox", self.store.inbox, *self.on_store, "--config", self.store.config, "--wait")

    def trainings(self) -> Iterator[Words]:
        """The same voice under another seed each time: another training, another entry."""
        for seed in count():
            config = self.folder / "training.toml"
            config.write_text(VOICE_TOML.replace("[loop]", f"[loop]\nseed = {seed + 100}"))
            yield ("train", *self.on_store, "--config", config, "--speaker", "ann")

    def promotions(self) -> Iterator[Words]:
        for number in count():
            yield ("voices", "promote", *self.on_store, "--voice", "ann", "--number", 2 + number % 2, "--force", "both")

    def withdrawals(self) -> Iterator[Words]:
        for number in count():
            yield ("consent", ("withdraw", "grant")[number % 2], "--speaker", "cem", *self.on_store)

    def guests(self) -> Iterator[Words]:
        """Speakers who come, are prepared, and are forgotten."""
        for number in count():
            name = f"guest{number}"
            self.add(name, 1000 + number)
            while not self.over.wait(0.5) and not self.has(name):
                pass
            yield self.forgetting(name)

    def forgetting(self, name: str) -> Words:
        """The command that forgets a speaker, whose bytes are noted before."""
        while self.has(name):
            with suppress(FileNotFoundError):  # another forgetting removed a file of another speaker
                own = {f"{name}: {kind}": value for kind, value in needles(self.store, name).items()}
                self.needles |= {kind: value for kind, value in own.items() if value}  # guests have no transcript
                break
        for path in (self.store.inbox / name).glob("*.wav"):
            raw = path.read_bytes()
            self.needles[f"{name}: {path.name}"] = raw[len(raw) // 2 : len(raw) // 2 + 32]
        return ("forget", "--speaker", name, *self.on_store, "--inbox", self.store.inbox, "--wait", "--yes")

    def has(self, speaker: str) -> bool:
        """Whether the latest version has utterances of a speaker."""
        return any(file.rows for file in self.store.version().shards("utterances", speaker))

    def add(self, speaker: str, number: int) -> None:
        """Put a recording into the inbox, whole or not at all: of other words each time, else it is a repeat."""
        rng = np.random.default_rng(number)
        (wave,) = speak([Line(" ".join(rng.choice(SAID, 12)), "en-us+m7")])
        wave = wave + rng.normal(0, 0.002, len(wave))  # no bytes of a pause are those of another recording
        (self.store.inbox / speaker).mkdir(exist_ok=True)
        path = self.folder / f"new{number}.wav"
        soundfile.write(path, wave, RATE)
        path.rename(self.store.inbox / speaker / path.name)

    @property
    def on_store(self) -> Words:
        return ("--store", self.store.store)


@pytest.fixture
def crowd(alone: Any, voiced: tuple[RefreshedStore, Any], tmp_path: Path) -> Crowd:
    """The store with a voice of ann in three entries; temporary and Prefect's own files lie in the folder too."""
    copied = voiced[0].copy_to(tmp_path)
    opened = Store.open(copied.store)
    for prefix in ("tiny.model.", "other.model."):
        add_entry(opened, tmp_path, "ann", prefix)
    consents = copied.inbox / "consents.csv"
    consents.write_text(consents.read_text() + "".join(f"guest{n},yes,signed\n" for n in range(100)))
    own = {
        name: str(tmp_path / name.lower()) for name in ("TMPDIR", "PREFECT_HOME", "VOICEMILL_LOCKS", "XDG_CACHE_HOME")
    }
    for path in own.values():
        Path(path).mkdir()
    marked = alone.environment | own | {"VOICEMILL_TEST": str(copied.store)}
    return Crowd(replace(alone, environment=marked), tmp_path, copied)


def run(crowd: Crowd, seconds: float, loops: dict[str, Callable[[], Iterable[Words]]]) -> None:
    """Let the loops run at the same time for so long. After two thirds, and once each has done something, ann is
    forgotten, whose voice they train and promote."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(loops)) as pool:
        futures = [pool.submit(crowd.loop, name, make()) for name, make in loops.items()]
        try:
            while time.monotonic() < began + seconds * 2 / 3 or crowd.done.keys() != loops.keys():
                assert not any(future.done() for future in futures)
                time.sleep(0.1)
            crowd.run("forget", crowd.forgetting("ann"))
            time.sleep(max(0.0, began + seconds - time.monotonic()))
        finally:
            crowd.over.set()
        for future in futures:
            future.result()
    check_after(crowd)


def check_after(crowd: Crowd) -> None:
    """Check ledgers, versions, the voice, the traces and the processes once all commands have ended."""
    for name, results in crowd.done.items():
        print(name, [status for status, _ in results])
        for status, message in results:
            assert "Traceback" not in message, f"{name}: {message}"
            may_refuse = name in ("train", "promote") and any(word in message for word in REFUSALS)
            assert status == 0 or may_refuse, f"{name}: exit {status}\n{message}"
        assert any(status == 0 for status, _ in results), f"{name}: {results}"
    crowd.cli("consent", "grant", "--speaker", "cem", *crowd.on_store)
    summary = crowd.cli.refresh(crowd.store.inbox, crowd.store.store, "--config", crowd.store.config)
    assert summary["speakers"] == 2
    store = Store.open(crowd.store.store)
    for version in versions.history(store):
        corpus = CorpusVersion(store, version)
        ids = corpus.utterances()["id"].to_pylist()
        assert all(corpus.features(name)["id"].to_pylist() == ids for name in version.features)
        speakers = {
            *corpus.utterances(["speaker"])["speaker"].to_pylist(),
            *corpus.ledger(["speaker"])["speaker"].to_pylist(),
        }
        assert speakers <= {"bob", "cem"}
        assert sum(check_ledger(corpus).values()) == sum(corpus.uploads(["samples"])["samples"].to_pylist())
    status = read_status(store.models / "ann")
    assert {status.of(entry.number) for entry in registry.entries(store, "ann")} == {"retired"}
    assert traces(crowd.folder, crowd.needles) == {}
    crowd.cli("check", *crowd.on_store)
    assert processes(crowd.store.store) == []


def test_all_at_the_same_time_for_a_moment(crowd: Crowd) -> None:
    run(crowd, 12, {"refresh": crowd.refreshes, "train": crowd.trainings, "promote": crowd.promotions})


# nightly: four minutes. On a push the moment above, without withdrawals and speakers who come and go
@pytest.mark.nightly
def test_all_at_the_same_time_for_three_minutes(crowd: Crowd) -> None:
    loops = {"refresh": crowd.refreshes, "train": crowd.trainings, "promote": crowd.promotions}
    run(crowd, 180, {**loops, "consent": crowd.withdrawals, "guests": crowd.guests})
