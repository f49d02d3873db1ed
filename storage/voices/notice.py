"""Notice in the metadata of sound files that their speech is synthetic: writing and reading it.

The term is from the IPTC's vocabulary of digital source types, which the provenance standard C2PA uses too:
`trainedAlgorithmicMedia`, made by a model trained on other media. WAV carries it in its RIFF INFO chunk (ICMT comment,
ISFT software), FLAC and Ogg Vorbis in their comments; ffmpeg carries a comment along when it converts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.audio.containers import libav_options
from voicemill.storage.errors import ConfigError
from voicemill.storage.files import whole_file
from voicemill.storage.units import Samples

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TERM = SOURCE_TYPE.rpartition("/")[2]
FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


@dataclass(frozen=True)
class Notice:
    """Metadata of a file about its origin."""

    comment: str = f"AI-generated speech, a synthetic voice; digitalSourceType: {SOURCE_TYPE}"
    software: str = "voicemill"

    @property
    def synthetic(self) -> bool:
        """Whether the comment states that a trained model made the speech."""
        return TERM.lower() in self.comment.lower()


def write_speech(path: Path | str, wave: NDArray[np.float32], rate: int, *, notice: Notice | None = None) -> Path:
    """Write float32 [samples], -1..1, mono, at `rate` Hz as 16-bit WAV or FLAC or as Ogg Vorbis, by the extension.

    The file appears when it is whole. Samples beyond full scale are clipped. Returns the path.

    Raises:
        ConfigError: unknown extension, a notice without the term, or samples that are not finite and mono.
        OSError: the file cannot be written.
    """
    path = Path(path)
    with whole_file(path, parents=False) as temporary:
        _write(temporary, path, (wave,), rate, notice or Notice())
    return path


def write_blocks(
    path: Path, waves: Iterable[NDArray[np.float32]], rate: int, *, notice: Notice | None = None
) -> Samples:
    """Write speech block by block, in place, for a player that follows; returns the number of samples.

    Raises as `write_speech`; blocks written before an error stay in the file.
    """
    return _write(path, path, waves, rate, notice or Notice())


def _write(target: Path, path: Path, waves: Iterable[NDArray[np.float32]], rate: int, notice: Notice) -> Samples:
    """Write to `target` in the format of `path`, which messages name."""
    import soundfile

    count = 0
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: speech is written as {', '.join(FORMATS)}; give one of these extensions")
    if not notice.synthetic:
        raise ConfigError(f"the notice {notice.comment[:80]!r} lacks the term {TERM}, which marks synthetic speech")
    form, subtype = FORMATS[path.suffix.lower()]
    try:
        with soundfile.SoundFile(target, "w", rate, 1, subtype, format=form) as file:
            file.comment, file.software = notice.comment, notice.software
            for wave in waves:
                if wave.ndim != 1 or not np.isfinite(wave).all():
                    raise ConfigError(f"{path}: speech is mono and finite [samples], got {wave.dtype} {wave.shape}")
                for start in range(0, len(wave), rate):  # the Vorbis encoder overflows the stack on minutes at once
                    file.write(np.clip(wave[start : start + rate], -1, 1))
                file.flush()
                count += len(wave)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    return count


def read_notice(path: Path | str) -> Notice | None:
    """Comment and software in the metadata of a sound file; None without a comment, or where it is no sound file.

    Raises:
        OSError: the file cannot be opened.
    """
    import av

    with Path(path).open("rb") as raw:
        try:
            with av.open(raw, metadata_errors="replace", options=libav_options()) as container:
                tags = {key.lower(): value for key, value in container.metadata.items()}
                for stream in container.streams.audio:
                    tags |= {key.lower(): value for key, value in stream.metadata.items()}
        except (av.error.FFmpegError, ValueError):
            return None
    comment = tags.get("comment") or tags.get("description") or ""
    return Notice(comment, tags.get("software") or tags.get("encoder", "")) if comment else None
