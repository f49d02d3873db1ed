"""The registry of voices: entries, model cards, status, lineage, votes."""
