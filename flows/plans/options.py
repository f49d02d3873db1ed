"""Options that several flows share, and the user who runs them. The dashboard makes a form of every options class."""

import getpass

from pydantic import BaseModel, Field

from voicemill.flows.plans import help_texts
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import check_voice_name


class StoreOptions(BaseModel):
    """Options of a flow that works on a store."""

    store: str = Field(description=help_texts.STORE)


class VoiceOptions(StoreOptions):
    """Options of a flow that works on an existing voice."""

    voice: str = Field("", description=help_texts.VOICE)

    def open_store(self) -> tuple[Store, str]:
        """Open the store; return it and the checked name of the voice.

        Raises:
            StoreError: there is no store.
            ConfigError: the name is malformed, or none is given and the store has no voice or several.
        """
        store = Store.open(self.store)
        return store, check_voice_name(self.voice) if self.voice else registry.only_voice(store)


def user_name() -> str:
    """Name of the user who runs this process, for histories; "unknown" in a container whose user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
