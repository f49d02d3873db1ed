"""Transcripts and turns beside the recordings of an inbox, and which of several transcripts says what is said.

A transcript of the very name of the recording counts first. Of those with a language in their names (`a.en.vtt`,
`a.de.srt`) the one in the language that is stated for the recording counts; where none is stated, the only language
that there is, which is then stated. A translation is no transcript: it is named, and not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from voicemill.storage.inbox.languages import TaggedFile, tagged_files
from voicemill.storage.inbox.listing import Listing, Problem, without_extension
from voicemill.storage.inbox.metadata import SIDECARS
from voicemill.storage.inbox.names import Beside, beside
from voicemill.storage.inbox.transcripts.rttm import RTTM


@dataclass(frozen=True)
class FilesBeside:
    """Files beside the recordings of a listing."""

    of: Mapping[str, Beside]
    """Ending -> files by the stem of the recording."""
    tagged: Mapping[str, list[TaggedFile]]
    """Stem of a recording -> transcripts with a language in their names."""

    def transcript(self, stem: str, language: str, problems: list[Problem]) -> tuple[str, str]:
        """Path of the transcript of a recording ("" = none) and its language; `language` is the stated one, or ""."""
        own = [self.of[ending].own[stem] for ending in SIDECARS if stem in self.of[ending].own]
        if own:
            return min(own, key=lambda match: match[0])[1], language
        whole = [file for file in self.tagged.get(stem, ()) if not file.partial]
        stated = [file for file in whole if file.language == language]
        if not language and len({file.language for file in whole}) == 1:
            stated = whole
        if stated:
            order = {ending: at for at, ending in enumerate(SIDECARS)}
            chosen = min(stated, key=lambda file: (order["." + file.path.lower().rpartition(".")[2]], len(file.path)))
            return chosen.path, chosen.language
        for file in self.tagged.get(stem, ()):
            why = f"the language of the recording is {language}" if language else "it is open which language is spoken"
            hint = "" if language else ": state it, as --language or in languages.csv"
            only = "it has only what is in another language" if file.partial else why
            problems.append(Problem(file.path, 0, f"not used: {only}{'' if file.partial else hint}"))
        return "", language


def files_beside(listing: Listing, problems: list[Problem]) -> FilesBeside:
    """Transcripts and turns beside the audio; `problems` receives those that belong to none for certain."""
    stems = {without_extension(entry.path) for entry in listing.audio}
    files = {ending: beside(stems, listing.others, ending) for ending in (*SIDECARS, RTTM)}
    for found in files.values():
        for path, near in sorted(found.unclear.items()):
            names = ", ".join(stem.rpartition("/")[2] for stem in near)
            problems.append(Problem(path, 0, f"not used: it differs from the name of {names} and is not the only one"))
    return FilesBeside(files, tagged_files(stems, listing.others, SIDECARS))
