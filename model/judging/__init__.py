"""Evaluation of a voice: its speech against recordings that no training read, and the promotion gate."""
