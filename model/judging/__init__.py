"""Judging a voice: what it says against recordings that it never trained on."""
