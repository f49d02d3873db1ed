"""Every error that voicemill raises on purpose.

VoicemillError
├── ConfigError            a setting contradicts another one, or its value is out of range
├── ModelMissing           a model that a setting names is not on this machine
├── CheckpointError        a file of weights cannot be read, or holds something else than it should
├── InboxError             the inbox cannot be listed or its metadata cannot be read
├── AudioError             one upload cannot be decoded   (becomes an outcome, never stops a run)
├── StoreError             the store is damaged, or not a store
│   ├── StoreBusy          another refresh holds the store
│   ├── StageConflict      another entry became champion while this one was judged
│   ├── Retired            an entry that was retired is asked for
│   └── NoData             a corpus version holds nothing that can be trained on
│       └── NothingYet     and a later one will: a deployment ends well and waits
├── BreakerOpen            a stage dropped or failed far more than before: nothing was published
├── TrainingFailed         a training ended with nothing to speak with: not finite, out of memory, no data, a crash
├── WorkerDied             worker processes die again and again   (breaks one batch, never stops a run)
└── ServerError            the Prefect server cannot be reached or started
"""

from voicemill.storage.outcomes import Reason


class VoicemillError(Exception):
    """Base of all. The message says what was given and expected, where we looked, and the command that mends it."""


class ConfigError(VoicemillError):
    """A setting is out of range or contradicts another one; the message names it."""


class ModelMissing(VoicemillError):
    """A model named by a setting is neither a folder nor in the local cache; the message names the fetch command."""


class CheckpointError(VoicemillError):
    """A file of weights cannot be read, or holds something else than it should; nothing in it was run."""


class InboxError(VoicemillError):
    """The inbox or its metadata cannot be read."""


class AudioError(VoicemillError):
    """One upload cannot be decoded.

    `reason` is the member of `Reason` it is recorded under; `samples` how many came out before the damage.
    """

    def __init__(self, reason: Reason, message: str, samples: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.samples = samples


class StoreError(VoicemillError):
    """The store is damaged, or the folder is not a store."""


class StoreBusy(StoreError):
    """Another refresh holds the store."""


class StageConflict(StoreError):
    """Another entry became champion while this one was judged against the one before."""


class Retired(StoreError):
    """A retired entry speaks only where that is allowed by name."""


class NoData(StoreError):
    """Nothing of a corpus version can be trained on; the message counts the reasons."""


class NothingYet(NoData):
    """There is nothing to work on yet; `state` says so in a few words, as the name of the state that a run ends in."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class BreakerOpen(VoicemillError):
    """The circuit breaker stopped a publish."""


class TrainingFailed(VoicemillError):
    """A training did not reach its end; the message holds its last words and the folder."""


class WorkerDied(VoicemillError):
    """Worker processes died, and no upload is to blame."""


class ServerError(VoicemillError):
    """The Prefect server cannot be reached or started."""
