"""Voices as vectors: the encoder, comparison of voices, changes of speaker, and diarisation."""
