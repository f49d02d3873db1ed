"""Emissions of a wav2vec 2.0 model with a CTC head, in batches, for word times.

What: the models that `whisperx.load_align_model` loads (torchaudio's ASR bundles by name, Wav2Vec2ForCTC by hub id or
folder), read as whisperx reads them.
Method: the convolutional front end takes one clip at a time, because its group normalisation is over time and padding
would change it. The transformer takes clips of similar length together with a mask on a GPU, and one at a time on a
CPU, where mask and padding cost more than a batch gains (15 against 18 x real time on 2 threads). So the emissions of a
clip do not depend on the others: to the bit on a CPU, but for rounding on a GPU. In bfloat16 the weights are converted
once.
Cost: the emissions; against `whisperx.align` see tests/bench/align.py. The words are placed by `ctc_path`.
Source: Pratap et al. 2023 (MMS, forced alignment); Bain et al. 2023.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.utils.parametrize

from voicemill.model.device import Placement
from voicemill.model.speech.ctc_path import CTC_RATE, FIELD, Emission, place_words
from voicemill.model.speech.words import Alignment
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.units import RATE


class CtcModel:
    """A model with its dictionary, on its device."""

    def __init__(self, name: str, folder: Path, place: Placement, together: bool | None = None) -> None:
        """`together`: whether clips go in padded batches; None = on a GPU."""
        self._place = place
        self._together = place.device.type == "cuda" if together is None else together
        if is_bundle(name):
            self._load_bundle(name, folder)
        else:
            self._load_hub(folder)
        self.blank = next((i for char, i in self.dictionary.items() if char in ("[pad]", "<pad>")), 0)
        self._core.to(place.device).eval()
        if place.dtype != torch.float32:
            _convert(self._core, place.dtype)

    def _load_bundle(self, name: str, file: Path) -> None:
        import torchaudio

        bundle = getattr(torchaudio.pipelines, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio 2.8 announces the refactoring of 2.9
            model = bundle.get_model(dl_kwargs={"model_dir": str(file.parent)})
        self.normalise = bool(getattr(model, "normalize_waveform", False))
        self._core = getattr(model, "model", model)
        self._hub = False
        self.dictionary = {char.lower(): i for i, char in enumerate(bundle.get_labels())}

    def _load_hub(self, folder: Path) -> None:
        from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC

        self._core = Wav2Vec2ForCTC.from_pretrained(folder, local_files_only=True)
        vocabulary = Wav2Vec2CTCTokenizer.from_pretrained(folder, local_files_only=True).get_vocab()
        self.dictionary = {char.lower(): i for char, i in vocabulary.items()}
        described = folder / "preprocessor_config.json"
        self.normalise = described.exists() and bool(json.loads(described.read_text()).get("do_normalize"))
        self._hub = True

    def emissions(self, waves: Sequence[Wave], batch_s: float = 60.0) -> list[Emission]:
        """Emissions of clips, float32 [samples], 32 kHz each, in the same order.

        Batches hold clips of similar length, at most `batch_s` seconds with their padding.
        """
        order = sorted(range(len(waves)), key=lambda number: len(waves[number]))
        emissions: dict[int, Emission] = {}
        at = 0
        while at < len(order):
            size = 1
            while (
                self._together
                and at + size < len(order)
                and (size + 1) * len(waves[order[at + size]]) <= batch_s * RATE
            ):
                size += 1
            batch = order[at : at + size]
            for number, scores in zip(batch, self._batch([waves[number] for number in batch]), strict=True):
                emissions[number] = Emission(scores, len(waves[number]))
            at += size
        return [emissions[number] for number in range(len(waves))]

    def place(self, emissions: Sequence[Emission], words: Sequence[str], language: str) -> Alignment:
        """Spans of words on the concatenation of clips, see `place_words`."""
        return place_words(emissions, words, language, self.dictionary, self.blank)

    def _batch(self, waves: Sequence[Wave]) -> list[torch.Tensor]:
        place = self._place
        reduced = place.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(place.device.type, place.dtype, enabled=reduced):
            heads = [self._front(self._low(wave)) for wave in waves]
            lengths = [head.shape[0] for head in heads]
            if len(set(lengths)) == 1:
                logits = self._encode(torch.stack(heads), None)
            else:
                padded = torch.nn.utils.rnn.pad_sequence(heads, batch_first=True)
                logits = self._encode(padded, torch.tensor(lengths, device=place.device))
            return [row[:n].float().log_softmax(-1).cpu() for row, n in zip(logits, lengths, strict=True)]

    def _low(self, wave: Wave) -> torch.Tensor:
        import soxr

        low = torch.from_numpy(np.ascontiguousarray(soxr.resample(wave, RATE, CTC_RATE), np.float32))
        if self.normalise:
            low = (low - low.mean()) / torch.sqrt(low.var(correction=0) + 1e-7)
        return torch.nn.functional.pad(low, (0, max(0, FIELD - len(low)))).to(self._place.device)

    def _front(self, low: torch.Tensor) -> torch.Tensor:
        """One clip, float32 [samples], 16 kHz -> [frames, channels]."""
        if self._hub:
            channels: torch.Tensor = self._core.wav2vec2.feature_extractor(low[None])[0]
            return channels.transpose(0, 1)
        head: torch.Tensor = self._core.feature_extractor(low[None], None)[0][0]
        return head

    def _encode(self, heads: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """[clips, frames, channels] -> logits [clips, frames, labels]; frames beyond `lengths` are masked."""
        core = self._core
        if not self._hub:
            hidden = core.encoder(heads, lengths)
            return core.aux(hidden) if core.aux is not None else hidden
        mask = None
        if lengths is not None:
            mask = torch.arange(heads.shape[1], device=heads.device)[None] < lengths[:, None]
        hidden, _ = core.wav2vec2.feature_projection(heads)
        hidden = core.wav2vec2.encoder(hidden, attention_mask=mask).last_hidden_state
        return core.lm_head(hidden)


def _convert(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights of matrix products to `dtype`, once rather than at every product; norms stay float32."""
    for module in model.modules():
        if torch.nn.utils.parametrize.is_parametrized(module, "weight"):  # weight norm, computed here in float32
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
        if isinstance(module, torch.nn.Linear | torch.nn.Conv1d):
            module.to(dtype)


def is_bundle(name: str) -> bool:
    """Whether `name` is one of torchaudio's pipelines, which alone are written in capitals."""
    return name.isupper()


def bundle_file(name: str, setting: str) -> Path:
    """Path at which torch.hub keeps the weights of a torchaudio bundle.

    Raises:
        ModelMissing: torchaudio has no such bundle, or its weights are not on this machine.
    """
    import torchaudio

    bundle: Any = getattr(torchaudio.pipelines, name, None)
    if not hasattr(bundle, "get_labels"):
        raise ModelMissing(f"{setting} = {name!r}: torchaudio.pipelines has no such speech recognition bundle")
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(bundle._path).name
    if not file.is_file():
        raise ModelMissing(
            f"{setting} = {name!r}: its weights are not at {file}, and nothing is downloaded unasked. "
            f"Run `voicemill models fetch` where there is a network, or name a local folder"
        )
    return file
