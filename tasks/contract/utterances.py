"""Rows of the table `utterances`: the outputs of all stages for one segment, side by side."""

import numpy as np

from voicemill.storage.corpus.flac import flac
from voicemill.storage.corpus.table_rows import Utterance
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.records import Upload
from voicemill.storage.units import to_seconds
from voicemill.tasks.contract.prepared import Prepared
from voicemill.tasks.contract.results import Name, Results
from voicemill.tasks.contract.tiers import Tier


def utterance_row(
    results: Results, waves: Prepared, upload: Upload, name: Name, recipe: str, tier: Tier | None
) -> Utterance:
    """Row of the table `utterances` for one kept segment, with its audio."""
    sha256, index = name
    segment = results.segments[name]
    denoised, levelled, screened = results.denoised[name], results.levelled[name], results.screened[name]
    text, quality, aligned = results.text(name), results.quality[name], results.aligned[name]
    matrix = results.matrices["f0"].slice(results.places["f0"][name], 1).to_pylist()[0]
    f0 = decode(matrix["data"], matrix["frames"], matrix["dims"]).ravel()
    voiced = f0[f0 > 0]
    return Utterance(
        id=f"{sha256[:16]}-{index:04}",
        upload=sha256,
        speaker=upload.speaker,
        path=upload.path,
        index=index,
        start=segment.start,
        stop=segment.stop,
        seconds=to_seconds(segment.stop - segment.start),
        language=aligned.language,
        text=text.text,
        words=text.words,
        alignment=text.status,
        engine=text.engine,
        audio=flac(waves.read(sha256, index)),
        snr_db=denoised.snr_db,
        denoised=denoised.denoised,
        loudness_before=levelled.before,
        loudness_after=levelled.after,
        gain_db=levelled.gain_db,
        peak_db=levelled.peak_db,
        bound=levelled.bound,
        entropy=screened.entropy,
        clipped=screened.clipped,
        bandwidth_hz=screened.bandwidth_hz,
        f0_median=float(np.median(voiced)) if len(voiced) else 0.0,
        voiced=len(voiced) / len(f0) if len(f0) else 0.0,
        recipe=recipe,
        sig=quality.sig,
        bak=quality.bak,
        ovrl=quality.ovrl,
        p808=quality.p808,
        snr_segment_db=quality.snr_db,
        c50_db=quality.c50_db,
        music=quality.music,
        speech=quality.speech,
        tier=tier,
        text_score=text.score,
        text_reason=text.reason,
        similarity=similarity.value if (similarity := results.similarities.get(name)) else None,
        voice_change=voice.change if (voice := results.voices.get(name)) else None,
        text_fit=aligned.fit,
        text_missing=aligned.missing,
        text_worst_run=aligned.worst_run,
        phone_rate=aligned.phone_rate,
    )
