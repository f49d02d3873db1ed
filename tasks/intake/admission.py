"""Selection of the uploads to prepare: consent on record, not forgotten, each content once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from voicemill.model.text.detect import contradiction
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.forgetting.held_voices import IN_TABLES, HeldVoice
from voicemill.storage.forgetting.tombstones import Tombstones
from voicemill.storage.inbox.consent import Consent, Consents
from voicemill.storage.inbox.layouts import folder_speaker
from voicemill.storage.inbox.listing import Problem
from voicemill.storage.inbox.metadata import LONGEST_NAME, Metadata
from voicemill.storage.inbox.names import Slips
from voicemill.storage.outcomes import Reason, UploadState
from voicemill.storage.records import Upload

MOST_NAMES = 5
"""Speakers that a message names."""


@dataclass(frozen=True)
class ConsentPolicy:
    """Consents that apply to this run: those on record, and one assumed for all other speakers."""

    consents: Consents
    assumed: str | None
    """Reason that stands for the consent of speakers without a record; None = none."""

    def of(self, speaker: str) -> Consent:
        """Consent of a speaker."""
        return self.consents.of(speaker, self.assumed)

    def refused(self, speakers: Iterable[str]) -> frozenset[str]:
        """Those of these speakers, and of all on record, who have not granted consent."""
        return frozenset(name for name in {*speakers, *self.consents.by_speaker} if not self.of(name).granted)


def without_doubt(
    uploads: list[Upload], about: Metadata, consents: ConsentPolicy, problems: list[Problem]
) -> tuple[list[Upload], list[UploadRow]]:
    """Uploads whose speaker is known, or may only be one who may be prepared, and rows of the others, which are held.

    A row or file of metadata names these and cannot be read: for the folder's speaker they would escape the refusal of
    another. Of a table that is read and not understood each cell may be the speaker, but nobody whose name it lacks. In
    the folder of a speaker who refused, the speaker whom metadata names needs a consent on record, not an assumed one.
    """
    reasons = dict(about.doubtful)
    refused = {name for name, consent in consents.consents.by_speaker.items() if not consent.granted}
    slips = Slips(refused)
    clear: dict[int, bool] = {}
    for path, possible in about.possible.items():
        if id(possible) not in clear:
            names = (possible.names or frozenset()) - {""}
            certain = possible.names is not None and (consents.assumed is not None or possible.unlikely)
            near = any(
                consents.of(name).withdrawn
                or not (possible.unlikely or consents.of(name).granted)
                or (len(name) <= LONGEST_NAME and slips.of(name))
                for name in names
            )
            clear[id(possible)] = certain and not (refused and near)
        if not clear[id(possible)]:
            reasons.setdefault(path, possible.reason)
    for upload in uploads:
        other = folder_speaker(upload.path) != upload.speaker and consents.of(folder_speaker(upload.path)).withdrawn
        if other and not consents.consents.of(upload.speaker).granted:
            message = "its folder is that of a speaker who refused, and the speaker in its metadata has no record"
            reasons.setdefault(upload.path, message)
    held = [
        excluded_row(upload, UploadState.HELD, reasons[upload.path], Reason.UNKNOWN_SPEAKER.value)
        for upload in uploads
        if upload.path in reasons
    ]
    for detail, count in Counter(row.detail for row in held).items():
        problems.append(Problem(".", 0, f"{count:,} {'upload is' if count == 1 else 'uploads are'} held: {detail}"))
    return [upload for upload in uploads if upload.path not in reasons], held


def hold_by_voice(
    uploads: Iterable[Upload], held: Mapping[str, HeldVoice], consents: ConsentPolicy, problems: list[Problem]
) -> tuple[list[Upload], list[UploadRow]]:
    """Uploads that may be prepared, and rows of those whose voice is that of a speaker without consent.

    Args:
        held: sha256 -> record of an earlier refresh; it holds while that speaker has not granted consent.
        problems: receives a line for each held upload.
    """
    kept: list[Upload] = []
    rows: list[UploadRow] = []
    for upload in uploads:
        voice = held.get(upload.sha256)
        if voice is None or (voice.speaker and consents.of(voice.speaker).granted):
            kept.append(upload)
        else:
            rows.append(excluded_row(upload, UploadState.HELD, IN_TABLES, Reason.OTHER_SPEAKER.value))
            problems.append(Problem(upload.path, 0, voice.detail))
    return kept, rows


def select_uploads(
    uploads: Iterable[Upload],
    corpus: Mapping[str, str],
    consents: ConsentPolicy,
    forgotten: Tombstones,
    problems: list[Problem],
) -> tuple[list[Upload], list[UploadRow]]:
    """Select each content once: the first file by path, so that the order in which copies arrive does not matter.

    Files with the same bytes under several speakers, all of whom must consent, count for the speaker of the selected
    file. Here the order matters: a speaker who has them in the corpus keeps them, or a copy would take them over.

    Args:
        corpus: sha256 -> speaker of the uploads in the last version.
        problems: receives what a user should look at.

    Returns:
        The selected uploads, and rows of the others: held, refused or duplicate.
    """
    selected: list[Upload] = []
    others: list[UploadRow] = []
    for sha256, group in _by_content(uploads).items():
        if sha256 in forgotten.content and group[0].size:
            others += [excluded_row(upload, UploadState.REFUSED, "forgotten") for upload in group]
            continue
        first = min(
            group,
            key=lambda u: (
                not u.size and not consents.of(u.speaker).granted,
                corpus.get(u.sha256) != u.speaker,
                u.path,
            ),
        )
        speakers = sorted({upload.speaker for upload in group}) if first.size else [first.speaker]
        if len(speakers) > 1:
            words = f"the same bytes under several speakers ({_first(speakers)}): counted for {first.speaker}"
            problems.append(Problem(first.path, 0, words))
        missing = next((name for name in speakers if not consents.of(name).granted), None)
        for upload in group:
            own = consents.of(upload.speaker)
            if not own.granted or missing:
                other = f"{missing} has the same bytes: {consents.of(missing or '').record}"
                others.append(excluded_row(upload, UploadState.HELD, other if own.granted else own.record))
                continue
            upload = replace(upload, consent=own.record)
            if upload.path == first.path:
                selected.append(upload)
            else:
                others.append(excluded_row(upload, UploadState.DUPLICATE, f"same bytes as {first.path}"))
    return selected, others


def contradicted_languages(uploads: Iterable[Upload]) -> list[Problem]:
    """A line for each speaker whose texts are clearly in another language than the stated one, which counts all the
    same. Cost: up to 0.05 ms a text."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for upload in uploads:
        if upload.language and upload.text and (actual := contradiction(upload.text, upload.language)):
            groups[upload.speaker, upload.language, actual].append(upload.path)
    return [
        Problem(
            min(paths),
            0,
            f"language {stated} is stated and counts, but {_texts(len(paths), speaker)} in {actual}: correct its "
            f"metadata, languages.csv or --language",
        )
        for (speaker, stated, actual), paths in sorted(groups.items())
    ]


def _texts(count: int, speaker: str) -> str:
    return "its text reads as one" if count == 1 else f"{count:,} texts of {speaker} read as texts"


def _first(names: list[str]) -> str:
    """The first names of a list, and the number of the others."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _by_content(uploads: Iterable[Upload]) -> dict[str, list[Upload]]:
    groups: dict[str, list[Upload]] = defaultdict(list)
    for upload in uploads:
        groups[upload.sha256].append(upload)
    return groups


def excluded_row(upload: Upload, state: UploadState, detail: str, reason: str = "") -> UploadRow:
    """Row of the table `uploads` for a file that enters no batch."""
    return UploadRow(
        sha256=upload.sha256,
        speaker=upload.speaker,
        path=upload.path,
        size=upload.size,
        codec=upload.codec,
        rate=upload.rate,
        channels=upload.channels,
        samples=0,
        seconds=upload.seconds,
        language=upload.language,
        consent=upload.consent,
        state=state,
        reason=reason,
        detail=detail[:500],
        batch="",
        batch_number=0,
        pcm="",
    )
