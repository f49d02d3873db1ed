"""Rows of a speaker leave the tables of every layout, in the encoding and packing that they have."""

import gzip
import json
from pathlib import Path

import pytest

from voicemill.storage.inbox.erasure import local_inbox, plan_erasure, uploads_of

LINES = [{"audio_filepath": f"{name}.wav", "text": f"words of {name}", "speaker": name} for name in ("zoe", "ann")]
MANIFEST = "".join(json.dumps(line) + "\n" for line in LINES).encode()
ROWS = "zoe.wav;zoe;words of zoe\nann.wav;ann;words of ann\n"
LONG = "|and these are many more words\n"
PACKED = gzip.compress(MANIFEST)
KEPT = MANIFEST.partition(b"\n")[2]


@pytest.mark.parametrize(
    ("name", "content", "left"),
    [
        ("m.jsonl", MANIFEST, KEPT),
        ("m.jsonl.gz", PACKED, KEPT),
        ("metadata.csv", f"file;speaker;text\n{ROWS}".encode("utf-16"), b""),
        ("metadata.csv", f"zoe.wav|zoe{LONG}ann.wav|ann{LONG}".encode(), f"ann.wav|ann{LONG}".encode()),
        ("x.list", b"D:\\y\\zoe.wav|zoe|en|a\nD:\\y\\ann.wav|ann|en|b\n", b"D:\\y\\ann.wav|ann|en|b\n"),
        ("words.ctm", b"zoe 1 0 1 a\nann 1 0 1 b\n", b"zoe 1 0 1 a\nann 1 0 1 b\n"),
    ],
)
def test_rows_of_tables(tmp_path: Path, name: str, content: bytes, left: bytes) -> None:
    for speaker in ("zoe", "ann"):
        (tmp_path / f"{speaker}.wav").write_bytes(speaker.encode())
    (tmp_path / name).write_bytes(content)
    box = local_inbox(tmp_path)
    plan_erasure(box, "zoe", uploads_of(box, "zoe")).carry_out()
    data = (tmp_path / name).read_bytes()
    if content.startswith(b"\xff\xfe"):
        assert data.decode("utf-16") == "file;speaker;text\nann.wav;ann;words of ann\n"
    else:
        assert (gzip.decompress(data) if name.endswith("gz") else data) == left
    assert (tmp_path / "ann.wav").exists()
    assert (tmp_path / "zoe.wav").exists() is name.endswith("ctm")


def test_kaldi_with_segments(tmp_path: Path) -> None:
    tables = {"wav.scp": "r{} {}.wav", "segments": "s{} r{} 0 1", "text": "s{} words", "utt2spk": "s{} {who}"}
    for name, row in tables.items():
        lines = [row.format(n, n if "wav" not in row else who, who=who) for n, who in enumerate(("zoe", "ann"))]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    for speaker in ("zoe", "ann"):
        (tmp_path / f"{speaker}.wav").write_bytes(speaker.encode())
    box = local_inbox(tmp_path)
    plan_erasure(box, "zoe", uploads_of(box, "zoe")).carry_out()
    left = {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix != ".wav" or path.stem == "zoe"}
    assert left == {"wav.scp": "r1 ann.wav\n", "segments": "s1 r1 0 1\n", "text": "s1 words\n", "utt2spk": "s1 ann\n"}
