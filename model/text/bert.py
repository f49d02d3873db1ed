"""BERT features of Chinese text for s1: the third hidden layer from the end, one vector for each phone.

GPT-SoVITS v2 adds chinese-roberta-wwm-ext-large to the phones of Chinese text: the vector of each character is repeated
for the phones of that character. Other languages, and Chinese without the model, have zeros: s1 works with them, with
less of the prosody. This needs one token per character, so characters are looked up one by one; a character that the
vocabulary lacks is its unknown token.
"""

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from voicemill.model.hub import resolve
from voicemill.model.text.frontend import Phonemes
from voicemill.storage.errors import ConfigError

CHANNELS = 1024
"""Input features of s1, whose `bert_proj` is Linear(1024, 512)."""
LAYER = -3
ADVISED = "hfl/chinese-roberta-wwm-ext-large"
"""Model with which the checkpoints were trained."""


class BertFeatures:
    """A BERT for masked words and the features of its third last hidden layer."""

    def __init__(
        self,
        name: str = ADVISED,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        setting: str = "bert",
    ) -> None:
        """Load a model by hub id or folder, never from the network. `setting`: name of the setting in errors.

        Raises:
            ModelMissing: the model is not on this machine; the message names the fetch command.
            ConfigError: not a BERT, not 1024 channels, too few layers, or missing weights.
        """
        from safetensors import SafetensorError
        from transformers import BertConfig, BertModel, BertTokenizerFast

        folder = resolve(name, setting)
        try:
            config = BertConfig.from_pretrained(folder, local_files_only=True)
            width, layers = config.hidden_size, config.num_hidden_layers
            # layers above the one that is read are not built
            config.num_hidden_layers = max(layers + LAYER + 1, 0)
            self.tokenizer: Any = BertTokenizerFast.from_pretrained(folder, local_files_only=True)
            with _quiet():
                model, report = BertModel.from_pretrained(
                    folder, config=config, local_files_only=True, add_pooling_layer=False, output_loading_info=True
                )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ConfigError(
                f"{setting} = {name!r}: {folder} holds no BERT that transformers reads "
                f"({type(error).__name__}: {error})"
            ) from error
        wrong = (
            f"its hidden size is {width}, s1 takes {CHANNELS}" if width != CHANNELS
            else f"it has {layers} layers, at least {-LAYER} are needed" if layers < -LAYER
            else f"its weights lack {min(report['missing_keys'])}" if report["missing_keys"]
            else ""
        )  # fmt: skip
        if wrong:
            raise ConfigError(
                f"{setting} = {name!r}: {wrong}. Give {ADVISED} or one of its kind, or leave it empty for zeros"
            )
        self.device = torch.device(device)
        self.longest: int = config.max_position_embeddings - 2
        self.model: Any = model.to(self.device, dtype).eval()

    def characters(self, text: str) -> Tensor:
        """One vector for each character of a text, spaces included: float32 [characters, 1024].

        A text longer than the model's positions is read in pieces.
        """
        if not text:
            return torch.zeros(0, CHANNELS)
        ids = self.tokenizer.convert_tokens_to_ids(list(text.lower()))
        pieces = iter(ids)
        return torch.cat([self._hidden(piece) for piece in iter(lambda: list(islice(pieces, self.longest)), [])])

    def _hidden(self, ids: list[int]) -> Tensor:
        framed = [self.tokenizer.cls_token_id, *ids, self.tokenizer.sep_token_id]
        with torch.inference_mode():
            output = self.model(input_ids=torch.tensor([framed], device=self.device))
            hidden: Tensor = output.last_hidden_state[0, 1:-1].float().cpu()
        return hidden

    def phones(self, text: str, word2ph: Sequence[int]) -> Tensor:
        """Features of a Chinese normal form, repeated for the phones of each of its characters: float32 [1024, phones].

        Raises:
            ValueError: `word2ph` and the text differ in length.
        """
        if len(word2ph) != len(text):
            raise ValueError(f"word2ph counts {len(word2ph)} characters, the text has {len(text)}: {text!r}")
        return self.characters(text).repeat_interleave(torch.tensor(word2ph, dtype=torch.int64), 0).T.contiguous()


def features(reading: Phonemes, bert: BertFeatures | None) -> Tensor:
    """Features of the phones of a text, float32 [1024, phones]; 0 outside Chinese runs or without a model.

    Chinese without a model warns once per process.
    """
    parts = [torch.zeros(CHANNELS, len(reading.phones) - sum(len(run.phones) for run in reading.runs))]
    for run in reading.runs:
        if run.word2ph is None or bert is None:
            parts.append(torch.zeros(CHANNELS, len(run.phones)))
            if run.word2ph is not None:
                _warn()
        else:
            parts.append(bert.phones(run.normalised, run.word2ph))
    return torch.cat(parts, 1)


@functools.cache
def _warn() -> None:
    warnings.warn(
        f"Chinese text without BERT features: its prosody is flatter. Name {ADVISED} or a folder, and run "
        "`voicemill models fetch`",
        stacklevel=3,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers, which lists the weights of the layers that are deliberately not built."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
