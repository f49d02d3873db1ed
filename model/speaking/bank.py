"""Several voices on one loaded base: adapters beside s1 and s2, and the engines of the most recent voices.

    bank = load_bank("s1.ckpt", "s2.pth")
    bank.add("anna", ["voices/anna/s1", "voices/anna/s2"])     # folders of adapters
    anna = bank.voice("anna")                                  # a `Voice`

The engines that are fast on a CPU pack the weights when they are made, so voices cannot be switched by swapping
matrices: the engines of a voice are made from base and adapter at its first use, and `keep` of them are held for each
network. A network without an adapter of the voice is that of the base, and shared.
"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from torch import nn

from voicemill.model.adapters import lora
from voicemill.model.adapters.files import check_base, load, read_voice
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.prefix import Engine
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Network
from voicemill.model.speaking.reference import Content
from voicemill.model.speaking.voice import Voice
from voicemill.model.text.bert import BertFeatures
from voicemill.storage.errors import ConfigError

BASE = ""
"""Name of the voice without adapters."""


class VoiceBank:
    """Voices of one base. Threads may share it; a voice handed out keeps working after changes of the bank."""

    def __init__(
        self,
        s1: Text2Semantic,
        s2: Synthesizer,
        engine: Callable[[Text2Semantic], Engine],
        renderer: Callable[[Synthesizer], Synthesizer],
        content: Content,
        bert: BertFeatures | None = None,
        keep: int = 2,
    ) -> None:
        """Take over the networks in float32; `engine` and `renderer` take over the copies that they get.

        Raises ConfigError unless `keep` is 1 or more.
        """
        if keep < 1:
            raise ConfigError(f"keep = {keep}: a bank holds the engines of 1 voice or more")
        self.content, self.bert, self.keep = content, bert, keep
        self._bases: dict[Network, nn.Module] = {"s1": s1, "s2": s2}
        self._engine, self._renderer = engine, renderer
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._renderers: OrderedDict[str, Synthesizer] = OrderedDict()
        self._voices: list[str] = []
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the voices with adapters, in the order in which they were added."""
        return list(self._voices)

    def add(self, name: str, folders: Iterable[Path | str]) -> None:
        """Add a voice from the folders of its adapters, one for s1, one for s2, or both; nothing is computed yet.

        Raises:
            CheckpointError: a folder holds no adapter, or one of another base; nothing is added then.
            ConfigError: the name is taken, there is no folder, or two folders are of one network.
        """
        with self._lock:
            if name in self._voices:
                raise ConfigError(f"voice {name!r} is already in the bank: remove it first, or give another name")
            adapters = read_voice(folders)
            for network, adapter in adapters.items():
                check_base(self._bases[network], adapter)
            for network, adapter in adapters.items():
                load(self._bases[network], adapter, name)
            self._voices.append(name)

    def voice(self, name: str = BASE) -> Voice:
        """Return a voice ready to speak; this takes a second or two where its engines are not held.

        A reference of one voice works with all voices of the bank, as long as no adapter changes the reference encoder.

        Raises ConfigError for a name that was not added.
        """
        with self._lock:
            if name != BASE and name not in self._voices:
                raise ConfigError(f"no voice {name!r} in the bank, which has: {', '.join(self._voices) or 'none'}")
            own: dict[Network, str] = {
                network: name if name in lora.names(base) else BASE for network, base in self._bases.items()
            }
            if own["s1"] not in self._engines:
                self._engines[own["s1"]] = self._engine(self._copy("s1", own["s1"]))
            if own["s2"] not in self._renderers:
                self._renderers[own["s2"]] = self._renderer(self._copy("s2", own["s2"]))
            self._engines.move_to_end(own["s1"])
            self._renderers.move_to_end(own["s2"])
            for cache in (self._engines, self._renderers):
                while len(cache) > self.keep:
                    cache.popitem(last=False)
            return Voice(self._engines[own["s1"]], self._renderers[own["s2"]], self.content, self.bert)

    def remove(self, name: str) -> None:
        """Remove a voice, its adapters and its engines. Raises ConfigError for a name that was not added."""
        with self._lock:
            if name not in self._voices:
                raise ConfigError(f"no voice {name!r} to remove; the bank has: {', '.join(self._voices) or 'none'}")
            self._voices.remove(name)
            self._engines.pop(name, None)
            self._renderers.pop(name, None)
            for base in self._bases.values():
                if name in lora.names(base):
                    lora.remove(base, name)

    def _copy(self, network: Network, name: str) -> nn.Module:
        """Copy of a network with an adapter merged into its weights, or without any."""
        return lora.merge(copy.deepcopy(self._bases[network]), name)
