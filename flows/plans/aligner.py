"""Making a small aligner from a corpus version: read, train, measure, write its folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError
from voicemill.storage.files import whole_folder
from voicemill.storage.store import Store

if TYPE_CHECKING:
    from voicemill.model.aligner.measuring import Timed

SENTENCES = 12
"""Texts that the synthetic voices speak."""


@dataclass(frozen=True)
class Aligner:
    """A trained aligner in its folder."""

    folder: Path
    figures: dict[str, Any]
    """What `metrics.json` holds."""

    def as_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder)} | self.figures


def make_aligner(
    store: Store,
    language: str,
    *,
    version: int | None = None,
    out: str = "",
    speak: "Callable[[Sequence[Sequence[str]], str], list[Timed] | None] | None" = None,
    progress: Callable[[str], None] | None = None,
) -> Aligner:
    """Train an aligner on a corpus version (default the latest), measure it, and write its folder.

    A folder that holds an aligner is replaced. `speak` synthesises texts of a language with known word times, on which
    the aligner is measured too; None where it cannot.

    Raises:
        ConfigError: `out` is a folder with something else in it, or the language has no phones.
        NoData: too little speech with text.
        StoreError: there is no such version, or a speaker of it was forgotten.
        StoreBusy: a refresh holds the store when the aligner is to be written.
    """
    from voicemill.model.aligner import material, measuring, recipe
    from voicemill.model.aligner.aligner import WEIGHTS
    from voicemill.model.speech.pronunciation import WILD

    if not language.isalpha():
        raise ConfigError(f"--language {language!r}: expected an ISO 639-1 code, as zh or de")
    folder = (Path(out).expanduser() if out else store.models / f"aligner-{language}").resolve()
    if folder.exists() and not (folder / WEIGHTS).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists and holds no aligner: give --out a new folder")
    corpus = CorpusVersion.open(store, version)
    clips = material.read(corpus, language)
    aligner, parts = recipe.make(clips, language, progress or (lambda _: None))
    figures = {"corpus_version": corpus.version.number} | recipe.metrics(aligner, parts)
    texts = [clip.words for clip in parts.measured if not any(WILD in word for word in clip.text)][:SENTENCES]
    timed = speak(texts, language) if speak and texts else None
    figures["synthetic"] = asdict(measuring.boundaries(aligner, timed)) if timed else None
    used = {clip.speaker for clip in clips}
    with store.locked("aligner train"), whole_folder(folder, replace=True) as temporary:
        material.check_allowed(corpus)  # a speaker may have been forgotten meanwhile; none is while the lock is held
        recipe.write(
            temporary, aligner, figures, speakers=used, version=corpus.version.number, recipe=corpus.version.recipe
        )
    return Aligner(folder, figures)
