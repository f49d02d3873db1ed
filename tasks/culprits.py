"""Which uploads make a stage fail: group testing with attempts on parts of a batch."""

from collections.abc import Callable

from voicemill.storage.records import Upload

PROBES = 5
"""Uploads tried alone before a long search: when all of them fail alike, the fault is not theirs."""


def find_culprits(uploads: tuple[Upload, ...], attempt: Callable[[tuple[Upload, ...]], str]) -> dict[str, str]:
    """Upload -> error, for the uploads that make `attempt` fail alone; found by halving.

    `attempt` returns the error, "" = none. Where several uploads out of many fail alike, the cause lies elsewhere (a
    model that cannot be loaded): then every upload has failed, after PROBES attempts.
    """
    if len(uploads) > 2 * PROBES:
        errors = {attempt((upload,)) for upload in uploads[:: len(uploads) // PROBES]}
        if len(errors) == 1 and (error := errors.pop()):
            return {upload.sha256: error for upload in uploads}
    return _by_halves(uploads, attempt)


def _by_halves(uploads: tuple[Upload, ...], attempt: Callable[[tuple[Upload, ...]], str]) -> dict[str, str]:
    error = attempt(uploads) if uploads else ""
    if not error or len(uploads) == 1:
        return {upload.sha256: error for upload in uploads} if error else {}
    half = len(uploads) // 2
    return _by_halves(uploads[:half], attempt) | _by_halves(uploads[half:], attempt)
