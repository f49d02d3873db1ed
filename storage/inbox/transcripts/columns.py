"""Names of columns, and what each of them means to the projects that write it.

| what | columns, the first that a table has counts |
|---|---|
| file | file, file_name (Hugging Face), audio_file (Coqui), audio_filepath (NeMo), path (Common Voice), ... |
| text | normalised before raw: normalized_text, text, transcription, transcript, sentence, characters, ... |
| speaker | speaker, speaker_name (Coqui), speaker_id, client_id (Common Voice), ... |
| language | language, lang, locale (Common Voice) |
| times | offset or start, with duration or end: the text is that of a part of the recording |

Columns of other names are passed over: phones, durations of words, marks and votes are no text.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

_COLUMNS: Mapping[str, str] = {
    "file": "file file_name audio_file_name filename audio_file audio_filename audio_filepath audio_path audiopath "
    "filepath file_path wav_filename wav_path wav_file wav_name wav audio path clip basename utterance_id utt_id utt "
    "segment_id recording_id id",
    "text": "normalized_text normalised_text normalized_transcription text_normalized text_norm text transcription "
    "transcript sentence characters orthography orthographic_transcription raw_text original_text text_raw "
    "raw_transcription",
    "speaker": "speaker speaker_name speaker_id speakerid speaker_label spk spk_id spk_name client_id narrator",
    "language": "language lang locale language_id lang_id language_code lang_code",
    "mixed": "mixed",
    "offset": "offset start start_time start_s",
    "duration": "duration",
    "end": "end end_time end_s",
}
_ROLE = {name: (role, place) for role, names in _COLUMNS.items() for place, name in enumerate(names.split())}

KNOWN = (
    "known columns: file (also file_name, audio_file, audio_filepath, path, basename, id), text (transcription, "
    "transcript, sentence, characters, normalized_text), speaker (speaker_name, speaker_id, client_id), language "
    "(lang, locale), offset, duration, mixed; known tables without a header: file|text, file|speaker|text, "
    "file|text|speaker, id|raw|normalised, file|speaker|language|text"
)
"""What a refusal of a table says is known."""


def column_name(cell: str) -> str:
    """Form in which names of columns are compared: "Audio File" and "audio-file" are `audio_file`."""
    visible = "".join(char for char in cell if unicodedata.category(char) != "Cf")
    return re.sub(r"[\s-]+", "_", unicodedata.normalize("NFKC", visible).strip().strip("\"'").lower())


def roles_of(cells: Sequence[str]) -> dict[str, list[int]]:
    """Role -> indices of the columns that have it, the one that counts first."""
    roles: dict[str, list[tuple[int, int]]] = {}
    for at, cell in enumerate(cells):
        if found := _ROLE.get(column_name(cell)):
            roles.setdefault(found[0], []).append((found[1], at))
    return {role: [at for _, at in sorted(places)] for role, places in roles.items()}


def is_header(cells: Sequence[str]) -> bool:
    """Whether the cells are the names of columns, one of which names the recordings."""
    roles = roles_of(cells)
    if "file" not in roles:
        return False
    names = [column_name(cell) for cell in cells]
    return len(names) == 1 or len(roles) > 1 or names[roles["file"][0]] not in ("id", "audio", "path", "clip", "utt")


def value(values: Mapping[int, str] | Sequence[str], columns: Sequence[int]) -> str:
    """The first of these cells that has one, without the space around it."""
    return next((cell for at in columns if (cell := values[at].strip())), "")
