"""Torch code: audio features, encoders, aligners. Knows no Prefect."""
