"""Text of tables that people save in any encoding and with any separator: how it is told, and what else it may say.

Method: a byte order mark, else UTF-8 where all bytes are valid, else UTF-16 or UTF-32 by the places of the zero bytes.
What is left is one of the encodings of one country: the one under which the most names of the table are speakers that
are known, then the guess of charset-normalizer. Short tables do not suffice to tell those apart, so a caller to whom a
misread name does harm asks for all readings of it.
"""

import codecs
import csv
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from voicemill.storage.inbox.inbox import MOST_METADATA
from voicemill.storage.inbox.names import composed, speaker_name

_MARKS = (
    ("utf-32-le", codecs.BOM_UTF32_LE),  # before UTF-16, whose mark it begins with
    ("utf-32-be", codecs.BOM_UTF32_BE),
    ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE),
    ("utf-8", codecs.BOM_UTF8),
)
_ENCODINGS = """
cp1252 gb18030 cp932 big5hkscs cp949 cp1251 cp1250 cp1254 cp1253 cp1257 cp1255 cp1256 cp1258 cp874 koi8_r koi8_u
latin_1 iso8859_15 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10
iso8859_13 iso8859_14 iso8859_16 mac_roman mac_latin2 mac_cyrillic mac_greek mac_turkish cp437 cp850 cp852 cp855
cp857 cp858 cp860 cp861 cp862 cp863 cp865 cp866 cp737 cp775 cp864 cp869 gbk big5 cp950 euc_jp euc_jis_2004
shift_jis_2004 euc_kr johab
"""
_LOCAL = tuple(_ENCODINGS.split())
"""Encodings of one country each, the more frequent ones first."""
_ESCAPED = (("utf-7", b"+"), ("hz", b"~{"))
"""Encodings that write other letters in ASCII, and the sign of it."""

_FREQUENT = frozenset(
    "的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起"
    "发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间知世什两次"
    "使身者被高已亲其进此话常与活正感见明问力理点文几定本公特做外孩相西果走将月十实向声车全信重三机工气今吃饭早谢请再吗呢吧啊"
    "這們來時為說國著裡後會過對學麼還發當沒現開從樣經長動頭兒愛給間兩親進話與見問點幾實聲車機氣飯謝請嗎個歡買聽讓電應該關"
)
"""Frequent Chinese characters, simplified and traditional."""
_HEAD = 1 << 19
"""Bytes by which the encoding of a large table is told."""

SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Decoded:
    """Text of a table."""

    text: str
    encoding: str
    mark: bytes = b""
    """Byte order mark in front of it."""

    @property
    def guessed(self) -> bool:
        """Whether the encoding is one of several that fit."""
        return self.encoding in _LOCAL

    def readings(self, cell: str) -> frozenset[str]:
        """All that a cell may say: in other encodings if this one is a guess, and if a program decoded it wrongly."""
        raw = cell.encode(self.encoding if self.guessed else "utf-8", "surrogatepass")
        if cell.isascii():
            return frozenset({cell, *_all_of([name for name, sign in _ESCAPED if sign in raw], raw)})
        if self.guessed:
            return frozenset({cell, *_all_of(["utf-8", *_LOCAL], raw)})
        twice = _bytes_of(cell)
        return frozenset({cell, *(text for data in twice for text in _all_of(["utf-8"], data))})


def _bytes_of(cell: str) -> Iterator[bytes]:
    """Bytes that were taken for one of two encodings, when a text in UTF-8 was saved as UTF-8 once more."""
    for encoding in ("cp1252", "latin_1"):
        try:
            yield cell.encode(encoding)
        except UnicodeEncodeError:
            continue


def _all_of(encodings: Sequence[str], raw: bytes) -> Iterator[str]:
    for encoding in encodings:
        try:
            yield raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue


def decode_table(data: bytes, known: Callable[[str], int] = lambda text: 0) -> Decoded:
    """Decode a table in any encoding.

    Args:
        known: number of names in a text that are known: evidence for the encoding of that text.

    Raises:
        ValueError: no encoding fits; the message names the first line that does not.
    """
    for encoding, mark in _MARKS:
        if data.startswith(mark):
            return Decoded(_strict(data[len(mark) :], encoding), encoding, mark)
    zeros = [data[at::4].count(0) for at in range(4)]
    if any(zeros):
        wide = sum(zeros) > len(data) // 2
        late = zeros[1] + zeros[3] > zeros[0] + zeros[2] if not wide else zeros[3] > zeros[0]
        encoding = f"utf-{32 if wide else 16}-{'le' if late else 'be'}"
        return Decoded(_strict(data, encoding), encoding)
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        first = error
    texts = {name: text for name in _LOCAL for text in _all_of([name], data) if _fits(name, text, data)}
    if not texts:
        line = data.count(b"\n", 0, first.start) + 1
        raise ValueError(f"neither UTF-8 nor text in another encoding (byte {data[first.start]:#04x} in line {line})")
    score = {name: known(text) for name, text in texts.items()}
    best = [name for name in texts if score[name] == max(score.values())]
    guess = texts[_guess(data, best) if len(best) > 1 else best[0]]
    return Decoded(guess, next(name for name in best if texts[name] == guess))


def decode_metadata(data: bytes, path: str, words: Collection[str]) -> Decoded:
    """Decode a table that may be large, and may be packed by gzip; its encoding is told by its first text beyond ASCII.

    Args:
        words: names of files and folders in the inbox: evidence for its encoding.

    Raises:
        ValueError: no encoding fits, or it unpacks to more than is read.
    """
    data = unpack(data) if path.lower().endswith(".gz") else data

    def known(text: str) -> int:
        names = sum(composed(cell.strip()) in words for cell in set(re.split(r'[,;|\t"\r\n/\\]', text)))
        return names or int(_is_chinese(text))

    if len(data) <= _HEAD or data.startswith(tuple(mark for _, mark in _MARKS)) or b"\0" in data[:_HEAD]:
        return decode_table(data, known)
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
    stop = data.rfind(b"\n", start, start + _HEAD) + 1
    encoding = decode_table(data[start : stop or start + _HEAD], known).encoding
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8, and not {encoding} to its end: save it as UTF-8") from error


def without_lines(before: bytes, path: str, lines: Collection[int], split: Callable[[str], list[str]]) -> bytes:
    """Bytes of a table without these lines, from 1, in its own encoding, and packed as it is.

    Raises:
        ValueError: it cannot be read, or its text does not give its bytes again.
    """
    packed = path.lower().endswith(".gz")
    own, decoded = unpack(before) if packed else before, decode_metadata(before, path, ())
    if decoded.mark + decoded.text.encode(decoded.encoding) != own:
        raise ValueError(f"its text does not give its bytes again in {decoded.encoding}: save it as UTF-8")
    kept = [line for number, line in enumerate(split(decoded.text), 1) if number not in lines]
    data = decoded.mark + "".join(kept).encode(decoded.encoding) if "".join(kept).strip() else b""
    return gzip.compress(data, mtime=0) if packed and data else data


def _is_chinese(text: str) -> bool:
    """Whether a sixth of the characters beyond ASCII are frequent Chinese ones: in a wrong encoding few are."""
    beyond = [char for char in text if char > "~"]
    return 6 * sum(char in _FREQUENT for char in beyond) >= max(12, len(beyond))


def unpack(data: bytes) -> bytes:
    """Content of a gzip file.

    Raises:
        ValueError: it is none, is damaged, or unpacks to more than is read.
    """
    parts, size = [], 0
    while data:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            parts.append(unpacker.decompress(data, MOST_METADATA + 1 - size))
        except zlib.error as error:
            raise ValueError(f"no gzip file, or a damaged one ({error})") from error
        size += len(parts[-1])
        if size > MOST_METADATA:
            raise ValueError(f"over {MOST_METADATA // 2**20} MB unpacked, which is more than is read: split it")
        if not unpacker.eof:
            raise ValueError("a gzip file that ends too early")
        data = unpacker.unused_data
    return b"".join(parts)


def _guess(data: bytes, encodings: Sequence[str]) -> str:
    """The likeliest of several encodings."""
    from charset_normalizer import from_bytes

    match = from_bytes(data, cp_isolation=list(encodings), preemptive_behaviour=False).best()
    return match.encoding if match is not None and match.encoding in encodings else encodings[0]


def _strict(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "replace").count("\n") + 1
        raise ValueError(f"not {encoding.upper()} (line {line}: {error.reason})") from error
    if "\0" in text:
        raise ValueError(f"a zero character in line {text.count(chr(10), 0, text.index(chr(0))) + 1}")
    return text


def _fits(encoding: str, text: str, data: bytes) -> bool:
    """Whether a text gives its bytes again, and has letters and signs only: a wrong encoding often gives controls."""
    signs = (char for char in set(text) if not " " <= char <= "~" and char not in "\t\r\n")
    if any(unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs") for char in signs):
        return False
    try:
        return text.encode(encoding) == data
    except UnicodeEncodeError:
        return False


def lines_of(text: str) -> list[str]:
    """Lines with their ends, LF, CR or both. `str.splitlines` would also cut at U+2028, vertical tabs and others."""
    return list(io.StringIO(text, newline=""))


def cells_of(line: str, separator: str) -> list[str]:
    """Cells of a line.

    Raises:
        csv.Error: a quote stands inside of a cell, or is open at the end of the line.
    """
    return next(csv.reader([line.rstrip("\r\n")], delimiter=separator, strict=True), [])


def header_of(lines: Sequence[str], columns: Sequence[str]) -> tuple[int, str, list[str]] | None:
    """Index of the header line, the separator, and the names of the columns in lower case; None where it names others.

    A first line `sep=;`, which Excel reads and writes, is passed over, and empty lines are too.
    """
    filled = [at for at, line in enumerate(lines) if line.strip()]
    if len(filled) > 1 and lines[filled[0]].strip().lower().startswith("sep="):
        del filled[0]
    if not filled:
        return None
    start = filled[0]
    for separator in SEPARATORS:
        try:
            names = [speaker_name(name).lower() for name in cells_of(lines[start], separator)]
        except csv.Error:
            continue
        if set(columns) <= set(names):
            return start, separator, names
    return None


def first_difference(names: Sequence[str]) -> str:
    """The first name that stands twice in a header; "" = none does."""
    return next((a for a, b in pairwise(sorted(names)) if a and a == b), "")
