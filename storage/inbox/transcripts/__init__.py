"""Readers of the tables and transcripts that neighbouring projects write: text to rows, nothing of the inbox."""
