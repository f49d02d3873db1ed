"""Scoring the entries of a voice on a test set, comparing them, and the HTML page of the evaluation."""
