"""Which part of a sound a browser asks for: the header Range (RFC 9110, section 14).

Safari plays nothing from a server that does not answer ranges: it asks for the first two bytes before anything else.
A part, `bytes=0-1`, `bytes=500-` or the last ones, `bytes=-500`, is one `range` of positions. Several ranges, another
unit and what is no range are left aside, which the standard allows: the whole is the answer then.
"""

import re

_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_FAR = 10**18
"""Bytes: a position with more digits than this is behind the end of anything."""


def asked(header: str | None, size: int) -> range | None:
    """Positions that the value of a header Range wants of `size` bytes; None = the whole. An empty range cannot be met:
    it begins behind the end, or is of no byte."""
    found = _RANGE.fullmatch(header or "")
    if found is None or found[1] == found[2] == "":
        return None
    first, last = (_number(digits) for digits in found.groups())
    if first is None:
        return range(max(size - (last or 0), 0), size)
    if last is None:
        return range(first, size) if first < size else range(0)
    return None if last < first else range(first, min(last + 1, size)) if first < size else range(0)


def _number(digits: str) -> int | None:
    return None if not digits else int(digits) if len(digits.lstrip("0")) < 19 else _FAR
