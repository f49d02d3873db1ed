"""Sound files of synthetic speech say so: the words in their metadata, written and read.

The term is that of the IPTC's vocabulary of digital source types, which the provenance standard C2PA uses too:
`trainedAlgorithmicMedia`, made by a model trained on other media. WAV carries it in its RIFF INFO chunk (ICMT comment,
ISFT software), FLAC and Ogg Vorbis in their comments; ffmpeg carries a comment along when it converts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.audio.reading import libav_options
from voicemill.storage.errors import ConfigError
from voicemill.storage.files import whole_file
from voicemill.storage.units import Samples

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TERM = SOURCE_TYPE.rpartition("/")[2]
FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


@dataclass(frozen=True)
class Notice:
    """What the metadata of a file say about its making."""

    comment: str = f"AI-generated speech, a synthetic voice; digitalSourceType: {SOURCE_TYPE}"
    software: str = "voicemill"

    @property
    def synthetic(self) -> bool:
        """Whether it says that the speech was made by a trained model."""
        return TERM.lower() in self.comment.lower()


def write_speech(path: Path | str, wave: NDArray[np.float32], rate: int, *, notice: Notice | None = None) -> Path:
    """Write float32 [samples], -1..1, mono, at `rate` Hz as 16-bit WAV or FLAC or as Ogg Vorbis, by the name's ending.

    The file appears when it is whole. Samples beyond full scale are clipped. Returns the path.

    Raises:
        ConfigError: another ending, a notice that does not say synthetic, or samples that are not finite and mono.
        OSError: it cannot be written.
    """
    path = Path(path)
    with whole_file(path, parents=False) as temporary:
        _write(temporary, path, (wave,), rate, notice or Notice())
    return path


def write_blocks(
    path: Path, waves: Iterable[NDArray[np.float32]], rate: int, *, notice: Notice | None = None
) -> Samples:
    """The same block by block, into the file itself, for a player that follows; returns how many samples came.

    Raises as `write_speech`; what came before an error stays in the file.
    """
    return _write(path, path, waves, rate, notice or Notice())


def _write(target: Path, path: Path, waves: Iterable[NDArray[np.float32]], rate: int, notice: Notice) -> Samples:
    """Write to `target` in the format of `path`, which messages name."""
    import soundfile

    count = 0
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: speech is written as {', '.join(FORMATS)}; end the name in one of them")
    if not notice.synthetic:
        raise ConfigError(f"the notice {notice.comment[:80]!r} lacks the term {TERM}, which marks it")
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
    """The comment and software in the metadata of any sound file; None where there is no comment, or no sound file.

    Raises OSError where the file cannot be opened.
    """
    import av

    with Path(path).open("rb") as raw:
        try:
            with av.open(raw, metadata_errors="replace", options=libav_options()) as container:
                said = {key.lower(): value for key, value in container.metadata.items()}
                for stream in container.streams.audio:
                    said |= {key.lower(): value for key, value in stream.metadata.items()}
        except (av.error.FFmpegError, ValueError):
            return None
    comment = said.get("comment") or said.get("description") or ""
    return Notice(comment, said.get("software") or said.get("encoder", "")) if comment else None
