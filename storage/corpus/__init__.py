"""The corpus: stage outputs, Delta tables, the ledger, corpus versions."""
