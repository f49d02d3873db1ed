"""Mean opinion score, 1 to 5, as a network predicts it that was trained on the votes of listeners.

The embedded predictor is Distill-MOS (`model.judging.metrics.distill_mos`). Two further forms are read: a TorchScript
file that takes float32 [1, samples] at 16 kHz and gives one number (UTMOS, Saeki et al., Interspeech 2022, exported by
`torch.jit.trace`), and a folder of transformers with an audio-classification head of one label (a fine-tuned wav2vec
2.0, Cooper et al., ICASSP 2022, "Generalization ability of MOS prediction networks"). Scores are not clipped to the
range: a predictor that leaves it is the wrong file, an error.
"""

from pathlib import Path
from typing import Any, Protocol

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.device import Placement
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError

RANGE = (0.5, 5.5)
"""Range allowed for a score of 1 to 5; regressions overshoot a little."""


class Opinion(Protocol):
    """A model of how natural speech sounds."""

    def score(self, wave: Wave) -> float:
        """Return the score, 1 (bad) to 5 (excellent), of float32 [samples], 32 kHz."""


class Predictor:
    """A network from a TorchScript file, or from a folder of transformers."""

    def __init__(self, path: Path, placement: Placement, setting: str = "opinion") -> None:
        """Raises ConfigError where it is neither."""
        import torch

        self._name, self._device = f"{setting} = {path}", placement.device
        self._extract: Any = None
        try:
            if path.is_file():
                self._model: Any = torch.jit.load(str(path), map_location=self._device).eval()
                return
            from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

            config = AutoConfig.from_pretrained(path)
            kinds = [str(name) for name in config.architectures or ()]
            if config.num_labels != 1 or not any(kind.endswith("ForSequenceClassification") for kind in kinds):
                raise ValueError(f"{', '.join(kinds) or 'no architecture'} with {config.num_labels} labels")
            self._extract = AutoFeatureExtractor.from_pretrained(path)
            model = AutoModelForAudioClassification.from_pretrained(path, dtype=torch.float32)
            self._model = model.to(self._device).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigError(
                f"{self._name}: expected a TorchScript file (16 kHz samples -> one score), or a folder of transformers "
                f"with an audio-classification head of one label: {error}"
            ) from error

    def score(self, wave: Wave) -> float:
        """Return the score of float32 [samples], 32 kHz.

        Raises:
            ConfigError: the output of the network is not one number of 0.5 to 5.5.
        """
        import torch

        low = to_16_khz(wave)
        with torch.inference_mode():
            if self._extract is None:
                out = self._model(torch.from_numpy(low)[None].to(self._device))
            else:
                given = self._extract(low, sampling_rate=16_000, return_tensors="pt").to(self._device)
                out = self._model(**given).logits
        if out.numel() != 1 or not RANGE[0] <= (found := float(out.reshape(-1)[0])) <= RANGE[1]:
            got = f"{float(out.reshape(-1)[0]):g}" if out.numel() == 1 else f"{out.numel()} numbers"
            raise ConfigError(f"{self._name}: gave {got}, expected one score of 1 to 5")
        return found
