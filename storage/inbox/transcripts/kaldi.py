"""Lines of `key value...`: Kaldi's and ESPnet's folders, LibriSpeech's `*.trans.txt`, and NIST's CTM.

`wav.scp` names the recordings; `text`, `utt2spk` and `utt2lang` beside it speak of them, or of the stretches that
`segments` cuts out of them. `1688-142285.trans.txt` names the files beside it, whose ids begin with the reader. CTM has
a line for each word: recording, channel, start, duration, word.
"""

import re
from collections.abc import Iterator

from voicemill.storage.inbox.transcripts.rows import Description, MetadataRow, Source, seconds

TABLES = ("text", "utt2spk", "utt2lang", "segments")
"""Files beside `wav.scp` that are read."""
TRANS = ".trans.txt"
SILENCES = frozenset(["<eps>", "<sil>", "sil", "<sp>", "sp", "!sil", "<s>", "</s>", "[sil]"])
"""Words of a CTM that stand for silence."""
_LIBRISPEECH = re.compile(r"(\d+)[-_](\d+)[-_][\d_]+")


def read_wav_scp(source: Source, text: str) -> Iterator[MetadataRow]:
    """Rows of the recordings of a Kaldi folder, or of their segments."""
    tables = {name: _pairs(source.text_of(source.beside(name))) for name in TABLES}
    spans: dict[str, list[tuple[str, tuple[float, float] | None]]] = {}
    for utterance, value in tables["segments"].items():
        recording, *times = value.split()
        start, stop = (*map(seconds, times[:2]), None, None)[:2]
        span = (start, stop) if start is not None and stop is not None and 0 <= start < stop else None
        spans.setdefault(recording, []).append((utterance, span))
    for number, line in enumerate(text.split("\n"), 1):
        name, file = (*line.split(maxsplit=1), "", "")[:2]
        if not name:
            continue
        if not file or file.rstrip().endswith("|"):
            source.problem(number, f"{'a command, which is not run' if file else 'no path'}: not used")
            continue
        for utterance, span in spans.get(name, [(name, None)]):
            speaker, language, words = (tables[table].get(utterance, "") for table in ("utt2spk", "utt2lang", "text"))
            about = Description(speaker, language, words)
            yield MetadataRow(
                line=number, stop=number + 1, file=file.strip(), description=about, key=utterance, span=span
            )


def _pairs(text: str | None) -> dict[str, str]:
    """Key -> value of the lines; empty without a text."""
    pairs = (line.strip().split(maxsplit=1) for line in (text or "").split("\n") if line.strip())
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def read_trans(source: Source, text: str) -> Iterator[MetadataRow]:
    """Rows of a transcript of LibriSpeech: the id of a file beside it, and its text."""
    folders = source.path.split("/")[:-1]
    for number, line in enumerate(text.split("\n"), 1):
        key, words = (*line.strip().split(maxsplit=1), "", "")[:2]
        if key:
            parts = _LIBRISPEECH.fullmatch(key)
            speaker = parts[1] if parts and folders[-2:] == [parts[1], parts[2]] else ""
            about = Description(speaker, "", words)
            yield MetadataRow(line=number, stop=number + 1, file=key, description=about)


def read_ctm(source: Source, text: str) -> Iterator[MetadataRow]:
    """Rows of the words of a CTM."""
    channels: dict[str, set[str]] = {}
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        start, length = (*map(seconds, fields[2:4]), None, None)[:2]
        if len(fields) not in (5, 6, 7, 8) or start is None or length is None or start < 0 or length < 0:
            source.problem(number, f"{line.strip()[:80]!r} is no word: recording channel start duration word; not used")
            continue
        if fields[0] and fields[4].lower() not in SILENCES:
            channels.setdefault(fields[0], set()).add(fields[1])
        rows.append((number, fields, (start, start + max(length, 0.001))))
    for number, fields, span in rows:
        word = "" if fields[4].lower() in SILENCES or fields[4].startswith("<ALT") else fields[4]
        several = len(channels.get(fields[0], ())) > 1
        if several and word:
            source.problem(number, f"{fields[0]!r} has words in several channels, whose order is not known: not used")
            continue
        yield MetadataRow(line=number, stop=number + 1, file=fields[0], description=Description(text=word), span=span)
