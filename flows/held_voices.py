"""Consent by ear: uploads whose voice is that of a speaker without consent are held, whatever their folder says."""

from voicemill.flows.lot import LotResult
from voicemill.flows.plans.refresh import RefreshPlan
from voicemill.storage.corpus.artifacts import complete_artifact
from voicemill.storage.corpus.versions import CorpusVersion, Version
from voicemill.storage.forgetting import held_voices
from voicemill.storage.forgetting.erase import Traces, erase_cache
from voicemill.storage.records import Voice
from voicemill.storage.store import Store
from voicemill.tasks.contract.voices import vector
from voicemill.tasks.execute import artifact_path
from voicemill.tasks.intake.known_voices import SpokenSegment, match_voices, references, spoken_segments
from voicemill.tasks.intake.scan import ScanResult
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import VOICES


def hold_voices(
    store: Store, recipe: Recipe, plan: RefreshPlan, lots: list[LotResult], last: Version | None, listing: ScanResult
) -> bool:
    """Hold uploads whose voice is that of a speaker without consent; return whether there are new ones.

    They are recorded, so that the next scan holds them and their batches form without them; what the stage cache has of
    them is deleted.
    """
    table = recipe.feature_tables.get(VOICES.name) if recipe.config.scan.hold_by_voice else None
    known = references(store, listing.without_consent, table) if table and last else {}
    if not known:
        return False
    recorded = held_voices.read(store)
    held = [
        row for row in match_voices(known, _segments(store, recipe, plan, lots, last)) if row.upload not in recorded
    ]
    if not held:
        return False
    held_voices.add(store, held)
    uploads = frozenset(row.upload for row in held)
    erase_cache(store, Traces(speaker="", content=uploads, pcm=frozenset(), sizes=frozenset()))
    return True


def _segments(
    store: Store, recipe: Recipe, plan: RefreshPlan, lots: list[LotResult], last: Version | None
) -> list[SpokenSegment]:
    """Voices of all uploads: of the batches that ran, and of the unchanged ones as the last version has them."""
    duplicates = {upload for lot in lots for upload in lot.duplicates}
    repeats = {upload: parts for lot in lots for upload, parts in lot.repeats.items()}
    new = {upload.sha256 for batch in plan.batches for upload in batch.uploads}
    segments: list[SpokenSegment] = []
    for batch in plan.batches:
        path = artifact_path(store, VOICES.name, recipe.keys(batch, duplicates, repeats=repeats)[VOICES.name])
        rows = artifact.rows(Voice) if (artifact := complete_artifact(path)) else []
        segments += [SpokenSegment(row.upload, row.seconds, vector(row)) for row in rows]
    if last and last.features.get(VOICES.name) == recipe.feature_tables[VOICES.name] and plan.unchanged:
        present = plan.order.keys() - new
        segments += [row for row in spoken_segments(CorpusVersion(store, last)) if row.upload in present]
    return segments
