"""Every error that voicemill raises on purpose.

VoicemillError
├── ConfigError            a setting contradicts another one, or its value is out of range
├── ModelMissing           a model that a setting names is not on this machine
├── CheckpointError        a file of weights cannot be read, or does not hold what it should
├── InboxError             the inbox cannot be listed or its metadata cannot be read
├── AudioError             one upload cannot be decoded   (becomes an outcome, never stops a run)
├── StoreError             the store is damaged, or not a store
│   ├── StoreDamaged       a file of the store is missing, empty, cut short or changed
│   ├── StoreBusy          another refresh holds the store
│   ├── StatusConflict     another entry became champion while this one was judged
│   ├── Retired            a retired entry was requested
│   └── NoData             a corpus version holds nothing that can be trained on
│       └── NothingYet     a later version may: a deployment ends without failure and waits
├── BreakerOpen            a stage dropped or failed far more than before: nothing was published
├── TrainingFailed         a training ended without usable weights: not finite, out of memory, no data, a crash
├── MachineError           the machine or the shell gives a process too little: memory, open files, a library
├── WorkerDied             worker processes die again and again   (breaks one batch, never stops a run)
└── ServerError            the Prefect server cannot be reached or started
"""

from pathlib import Path

from voicemill.storage.outcomes import Reason


class VoicemillError(Exception):
    """Base of all. The message says what was given and expected, where we looked, and the command that fixes it."""


class ConfigError(VoicemillError):
    """A setting is out of range or contradicts another one; the message names it."""


class ModelMissing(VoicemillError):
    """A model named by a setting is neither a folder nor in the local cache; the message names the fetch command."""


class CheckpointError(VoicemillError):
    """A file of weights cannot be read, or does not hold what it should; no code in it was run."""


class InboxError(VoicemillError):
    """The inbox or its metadata cannot be read."""


class AudioError(VoicemillError):
    """One upload cannot be decoded.

    `reason` is the `Reason` it is recorded under; `samples` the number decoded before the damage.
    """

    def __init__(self, reason: Reason, message: str, samples: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.samples = samples


class StoreError(VoicemillError):
    """The store is damaged, or the folder is not a store."""


class StoreDamaged(StoreError):
    """A file of the store is missing, empty, cut short or changed; the message names it."""

    def __init__(self, path: Path, problem: str) -> None:
        marks = ("store.json", "tables/versions")
        store = next((parent for parent in path.parents if any((parent / mark).exists() for mark in marks)), "STORE")
        super().__init__(
            f"{path} {problem}: restore it from a backup of the store, or run `voicemill check --store {store} "
            "--repair`, which lists all damage and makes again what can be made"
        )
        self.path, self.problem = path, problem


class StoreBusy(StoreError):
    """Another refresh holds the store."""


class StatusConflict(StoreError):
    """Another entry became champion while this one was judged against the previous champion."""


class Retired(StoreError):
    """The requested entry is retired, and retired entries were not allowed explicitly."""


class NoData(StoreError):
    """No utterance of a corpus version can be trained on; the message counts the reasons."""


class NothingYet(NoData):
    """No input to work on yet; `state` is a short name for the state that the run ends in."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class BreakerOpen(VoicemillError):
    """The circuit breaker stopped a publish."""


class TrainingFailed(VoicemillError):
    """A training did not reach its end; the message holds its last output and its folder."""


class MachineError(VoicemillError):
    """The machine or the shell gives a process too little: memory, open files, a library that does not load."""


class WorkerDied(VoicemillError):
    """Worker processes died, and no single upload is the cause."""


class ServerError(VoicemillError):
    """The Prefect server cannot be reached or started."""
