"""scan: the files of the inbox, and which of them may be prepared.

Method: list, hash new and touched files (sizes and times are cached in `<store>/stages/scan`, so an unchanged inbox is
not read again), read metadata, transcripts and consents, compare with the uploads of the last version. Every file gets
one state: an upload to prepare, or held, refused, duplicate or failed, with the reason.
Cost: 20,000 known uploads with a sidecar each take 1.5 s of one core; new ones 0.4 ms each and the speed of sha256.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import field_validator

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.errors import ConfigError
from voicemill.storage.forgetting import held_voices, tombstones
from voicemill.storage.inbox import consent
from voicemill.storage.inbox.consent import Consent
from voicemill.storage.inbox.consent_table import CONSENTS
from voicemill.storage.inbox.inbox import MOST_TABLE, Inbox, download_path
from voicemill.storage.inbox.languages import (
    LANGUAGES,
    FolderLanguages,
    normalise_language,
    read_folder_languages,
)
from voicemill.storage.inbox.layouts import PossibleSpeakers, folder_speaker
from voicemill.storage.inbox.listing import Listing, Problem, first_problems, without_extension
from voicemill.storage.inbox.metadata import TIMED, Metadata, read_metadata
from voicemill.storage.inbox.names import caseless, speaker_name
from voicemill.storage.inbox.transcripts.rows import Description
from voicemill.storage.inbox.transcripts.rttm import RTTM
from voicemill.storage.outcomes import Reason, UploadState
from voicemill.storage.records import Upload
from voicemill.storage.store import Store
from voicemill.tasks.contract.stage import StageSettings
from voicemill.tasks.intake.admission import (
    ConsentPolicy,
    contradicted_languages,
    excluded_row,
    hold_by_voice,
    select_uploads,
    without_doubt,
)
from voicemill.tasks.intake.beside import FilesBeside, files_beside
from voicemill.tasks.intake.listing_cache import FileReader, ListingCache
from voicemill.tasks.intake.passages import TimedText, timed_text


class Settings(StageSettings):
    """Defaults for uploads whose metadata omits a value."""

    default_language: str = ""
    """ISO 639-1 code of uploads that state no language, nor their folder in languages.csv; "" = it must be detected."""

    hold_by_voice: bool = True
    """Hold uploads whose voice is that of a speaker without consent, whatever their folder says."""

    @field_validator("default_language")
    @classmethod
    def _a_language(cls, value: str) -> str:
        try:
            return normalise_language(value)
        except ValueError as error:
            raise ValueError(f"scan.default_language: {error}") from error


@dataclass(frozen=True)
class ScanResult:
    """Contents of the inbox."""

    uploads: tuple[Upload, ...]
    """Uploads to prepare, or prepared before: consent on record, each content once; sorted by path."""
    others: tuple[UploadRow, ...]
    """Files that enter no batch: held, refused, duplicate (same bytes as another), failed (unreadable)."""
    problems: tuple[Problem, ...]
    ignored: int
    """Number of files that are neither audio nor describe it."""
    hashed: int
    """Number of new or touched files, whose bytes were read."""
    without_consent: frozenset[str] = frozenset()
    """Speakers with an explicit no, or with held uploads."""

    @cached_property
    def counts(self) -> dict[str, int]:
        """State -> number of files; `uploads` = those that may be prepared."""
        return {"uploads": len(self.uploads), **Counter(row.state.value for row in self.others)}

    @cached_property
    def held(self) -> dict[str, int]:
        """Speaker without consent -> number of uploads."""
        rows = (row for row in self.others if row.state is UploadState.HELD and not row.reason)
        return dict(Counter(row.speaker for row in rows))


def fetch(inbox: str, upload: Upload, store: Store) -> Path:
    """Path of an upload's bytes on this machine: the file itself, or a download in the stage cache.

    Raises:
        InboxError, OSError: the inbox or the upload cannot be read.
    """
    return Inbox(inbox).fetch(upload, store)


MOST_PROBLEMS = 10_000
"""Problems of a whole inbox that are listed."""


def scan(
    inbox: str | Path,
    store: Store,
    settings: Settings,
    *,
    known: Iterable[UploadRow] = (),
    assume_consent: str | None = None,
    language: str = "",
) -> ScanResult:
    """List the inbox and decide on every file.

    Args:
        known: uploads of the last version; files with the same bytes stay with the speaker who has them there.
        assume_consent: a reason that stands for the consent of every speaker without a record.
        language: code or name that stands in for `settings.default_language`; "" = none.

    Raises:
        ConfigError: the language is no code or name of one, or the table of consents cannot be read whole.
        InboxError: the inbox cannot be listed.
    """
    box = Inbox(inbox)
    listing = box.listing()
    about = read_metadata(listing, box.read_bytes)
    problems = list(about.problems)
    problems += [Problem(folder, 0, f"passed over: {why}") for folder, why in sorted(listing.passed_over.items())]
    consents = consent.consents_of(box, listing, store, _speakers(listing, about))
    problems += consents.problems
    memory = ListingCache.load(store, box.id)
    unsafe = about.refused | listing.refused
    reader = FileReader(box, store, memory, problems)
    folders = _folder_languages(box, listing, problems)
    problems += folders.problems
    default = _language(language) or settings.default_language
    files = files_beside(listing, problems)
    uploads, failed, sidecars = _read_all(listing, about, unsafe, reader, (folders, default), files)
    corpus = {row.sha256: row.speaker for row in known if row.batch}
    policy = ConsentPolicy(consents, assume_consent)
    uploads, doubtful = without_doubt(uploads, about, policy, problems)
    selected, aside = select_uploads(uploads, corpus, policy, tombstones.read(store), problems)
    recorded = held_voices.read(store) if settings.hold_by_voice else {}
    selected, heard = hold_by_voice(selected, recorded, policy, problems)
    aside += [*heard, *doubtful]
    problems += contradicted_languages(upload for upload in selected if upload.sha256 not in corpus)
    buried = {sidecars[row.path] for row in aside if row.state is UploadState.REFUSED and row.path in sidecars}
    memory.save({entry.path for entry in listing.audio} | set(sidecars.values()) - buried)
    _drop_downloads(box, store, aside)
    refused = [
        excluded_row(Upload("", folder_speaker(path), path, 0), UploadState.REFUSED, why)
        for path, why in unsafe.items()
    ]
    about_audio = (
        len(about.files)
        + len(set(sidecars.values()))
        + len({path for _, path in files.of[RTTM].own.values()})
        + sum(caseless(path) in (CONSENTS, LANGUAGES) for path in listing.others)
    )
    return ScanResult(
        uploads=tuple(sorted(selected, key=lambda upload: upload.path)),
        others=tuple(sorted([*failed, *aside, *refused], key=lambda row: row.path)),
        problems=tuple(first_problems(".", problems, MOST_PROBLEMS)),
        ignored=len(listing.others) - about_audio,
        hashed=memory.hashed,
        without_consent=policy.refused({upload.speaker for upload in uploads}),
    )


def speakers_in(inbox: str | Path, store: Store) -> dict[str, Consent]:
    """Speaker of any audio file of the inbox -> consent, sorted by name; the bytes of the audio are not read.

    Raises:
        ConfigError: the table of consents cannot be read whole.
        InboxError: the inbox cannot be listed.
    """
    box = Inbox(inbox)
    listing = box.listing()
    about = read_metadata(listing, box.read_bytes)
    names = _speakers(listing, about)
    consents = consent.consents_of(box, listing, store, names)
    return {name: consents.of(name) for name in sorted(names)}


def _speakers(listing: Listing, about: Metadata) -> set[str]:
    """Speakers of the audio that is not refused."""
    refused = about.refused | listing.refused
    paths = (entry.path for entry in listing.audio if entry.path not in refused)
    return {about.descriptions.get(path, Description()).speaker or folder_speaker(path) for path in paths}


def _read_all(
    listing: Listing,
    about: Metadata,
    refused: Mapping[str, str],
    reader: FileReader,
    languages: tuple[FolderLanguages, str],
    files: FilesBeside,
) -> tuple[list[Upload], list[UploadRow], dict[str, str]]:
    """Every audio file as an upload, rows of those that cannot be read, and upload path -> path of its sidecar."""
    turn_files = files.of[RTTM]
    mixed = {*turn_files.own, *(stem for stems in turn_files.unclear.values() for stem in stems)}
    uploads: list[Upload] = []
    failed: list[UploadRow] = []
    sidecars: dict[str, str] = {}
    for entry in listing.audio:
        if entry.path in refused:
            continue
        described, text = about.descriptions.get(entry.path, Description()), ""
        stem = without_extension(entry.path)
        turns = reader.turns(entry, listing.others[turn_files.own[stem][1]]) if stem in turn_files.own else ()
        stated = described.language or languages[0].of(entry.path) or languages[1]
        sidecar, language = files.transcript(stem, stated, reader.problems)
        speaker, passages = described.speaker or folder_speaker(entry.path), described.passages
        if sidecar:
            sidecars[entry.path] = sidecar
            if not sidecar.lower().endswith(TIMED):
                text = reader.sidecar(listing.others[sidecar])
            elif not described.text:
                passages = reader.passages(listing.others[sidecar])
                voices = frozenset(name for row in passages if (name := speaker_name(row.speaker))) - {speaker}
                if voices:
                    about.possible[entry.path] = PossibleSpeakers(f"{sidecar} names other people in it", voices)
        upload = Upload(
            sha256="",
            speaker=speaker,
            path=entry.path,
            size=entry.size,
            language=language,
            text=described.text or text,
            mixed=described.mixed or stem in mixed,
            turns=turns,
        )
        try:
            seen = reader.upload(entry)
        except OSError as error:
            detail = f"cannot be read: {error}"
            failed.append(excluded_row(upload, UploadState.FAILED, detail, Reason.UNREADABLE))
            continue
        timed = timed_text(passages, speaker, seen.seconds) if passages else TimedText(upload.text)
        if timed.note:
            reader.problems.append(Problem(entry.path, 0, timed.note))
        uploads.append(
            replace(
                upload,
                text=timed.text or upload.text,
                mixed=upload.mixed or timed.mixed,
                turns=upload.turns or timed.turns,
                sha256=seen.sha256,
                codec=seen.codec,
                rate=seen.rate,
                channels=seen.channels,
                seconds=seen.seconds,
            )
        )
    return uploads, failed, sidecars


def _folder_languages(box: Inbox, listing: Listing, problems: list[Problem]) -> FolderLanguages:
    """Languages of the folders, by the table at the inbox root; of none without it, or where it cannot be read."""
    path = next((path for path in sorted(listing.others) if caseless(path) == LANGUAGES), "")
    try:
        names = {folder_speaker(entry.path) for entry in listing.audio}
        return read_folder_languages(box.read_bytes(path, MOST_TABLE), names) if path else FolderLanguages()
    except (OSError, ValueError) as error:
        problems.append(Problem(path, 0, f"{error}: it states no language"))
        return FolderLanguages()


def _language(language: str) -> str:
    try:
        return normalise_language(language)
    except ValueError as error:
        raise ConfigError(f"--language: {error}") from error


def _drop_downloads(box: Inbox, store: Store, aside: Iterable[UploadRow]) -> None:
    """Delete downloads of uploads that must not be used."""
    if not box.local:
        for row in aside:
            if row.sha256 and row.state is not UploadState.DUPLICATE:
                download_path(store, row.sha256).unlink(missing_ok=True)
