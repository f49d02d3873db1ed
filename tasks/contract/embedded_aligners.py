"""The embedded aligners of `align`: which of them places and judges the texts of a language.

pocketsphinx knows English phones. That is enough for German, and too little for Chinese, of which it loses right texts
and passes wrong ones (tests/bench/text_witness.py): Chinese is aligned with its own phones, as Whisper's encoder hears
them (model/aligner/phone_aligner.py), where the wheel of that is installed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from voicemill.model.aligner.phone_network import LANGUAGES as HEARD
from voicemill.model.embedded import WHISPER
from voicemill.model.speech.arpabet import LANGUAGES
from voicemill.model.speech.words import Alignment
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract.stage import Inputs

if TYPE_CHECKING:
    from voicemill.model.aligner.phone_aligner import PhoneAligner
    from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner

VERSION = 1
"""Grows when other engines judge a language, or with other weights."""
Engine = Literal["phones", "pocketsphinx"]
LONGEST: Seconds = 120.0
"""Longest audio whose phones are aligned with a text: the memory of that grows with its square."""


def engine_for(language: str, *, hears: bool) -> Engine | None:
    """Engine of a language, None = there is none; `hears`: whether Whisper's encoder may be used."""
    if hears and language in HEARD and WHISPER.is_installed:
        return "phones"
    return "pocketsphinx" if language in LANGUAGES else None


def models(*, hears: bool) -> Mapping[str, str]:
    """Digest of Whisper, where texts are judged by it."""
    return {"phones": WHISPER.digest} if hears and WHISPER.is_installed else {}


class EmbeddedAligners:
    """The aligners, each loaded at its first use."""

    def __init__(self, inputs: Inputs, *, hears: bool) -> None:
        self._inputs, self._hears = inputs, hears

    def align(self, wave: Wave, words: Sequence[str], language: str) -> Alignment:
        """Place words on float32 [samples], 32 kHz; audio over `LONGEST` always by pocketsphinx. Raises Unalignable."""
        is_heard = len(wave) <= LONGEST * RATE and engine_for(language, hears=self._hears) == "phones"
        return (self._phones() if is_heard else self._pocketsphinx()).align(wave, words, language)

    def _phones(self) -> "PhoneAligner":
        from voicemill.model.aligner.phone_aligner import PhoneAligner

        return self._inputs.model(("align", "phones"), PhoneAligner)

    def _pocketsphinx(self) -> "PocketsphinxAligner":
        from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner

        return self._inputs.model(("align", "pocketsphinx"), PocketsphinxAligner)
