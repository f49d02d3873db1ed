"""Sizes of s1, read from and written to the settings of a GPT-SoVITS checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicemill.storage.errors import ConfigError


@dataclass(frozen=True)
class S1Config:
    """Sizes of s1. Defaults: GPT-SoVITS v2 (`s1longer-v2.yaml`), 77,606,402 parameters; v2Pro has the same size."""

    phonemes: int = 732
    """Rows of the phone table: the symbols of the text front end."""
    codes: int = 1024
    """Number of semantic codes, 0 to codes - 1. The table has one row more: `eos`."""
    dim: int = 512
    """Width of the model; its feed-forward layers are four times as wide."""
    heads: int = 16
    layers: int = 24
    bert: int = 1024
    """Dimensions of the BERT features, one vector for each phone."""
    dropout: float = 0.1
    """Dropout of the embeddings with their positions and inside every layer, in training; 0 to 1, 1 excluded."""

    def __post_init__(self) -> None:
        for name in ("phonemes", "codes", "dim", "heads", "layers", "bert"):
            if getattr(self, name) < 1:
                raise ConfigError(f"s1.{name} = {getattr(self, name)}: expected a whole number above 0")
        if self.dim % self.heads or self.dim % 2:
            raise ConfigError(f"s1.dim = {self.dim} must be even and a multiple of s1.heads = {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"s1.dropout = {self.dropout}: expected 0 to 1, 1 excluded")

    @property
    def eos(self) -> int:
        """Code that ends a sequence."""
        return self.codes

    @property
    def vocabulary(self) -> int:
        """Width of the logits: codes and EOS."""
        return self.codes + 1

    @property
    def hidden(self) -> int:
        """Width of the feed-forward layers."""
        return 4 * self.dim

    @classmethod
    def of(cls, official: Mapping[str, Any]) -> "S1Config":
        """Read the "config" of an official checkpoint: {"model": {"vocab_size": 1025, "EOS": 1024, ...}, ...}.

        "linear_units" and "dropout" are ignored, as GPT-SoVITS ignores them.

        Raises:
            ConfigError: "model" or a size is missing, or the sizes do not fit each other.
        """
        model = official.get("model")
        names = ("vocab_size", "phoneme_vocab_size", "embedding_dim", "hidden_dim", "head", "n_layer", "EOS")
        missing = ["model"] if not isinstance(model, Mapping) else [name for name in names if name not in model]
        if missing or not isinstance(model, Mapping):
            raise ConfigError(
                f"the settings of this s1 checkpoint lack {', '.join(missing)}: expected {', '.join(names)}"
            )
        vocabulary, phonemes, dim, hidden, heads, layers, eos = (int(model[name]) for name in names)
        if eos != vocabulary - 1 or hidden != dim:
            raise ConfigError(
                f"s1 checkpoint with EOS {eos} of {vocabulary} codes, embedding_dim {dim}, hidden_dim {hidden}: "
                "expected EOS to be the last code and both dimensions the same"
            )
        return cls(phonemes=phonemes, codes=eos, dim=dim, heads=heads, layers=layers)

    def official(self) -> dict[str, Any]:
        """The "config" of an official checkpoint of this size: the inverse of `of`."""
        return {
            "model": {
                "vocab_size": self.vocabulary,
                "phoneme_vocab_size": self.phonemes,
                "embedding_dim": self.dim,
                "hidden_dim": self.dim,
                "head": self.heads,
                "linear_units": self.hidden,
                "n_layer": self.layers,
                "dropout": 0,
                "EOS": self.eos,
                "random_bert": 0,
            },
            "data": {"max_sec": 54, "pad_val": self.eos},
        }
