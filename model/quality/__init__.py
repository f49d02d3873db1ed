"""Measures of the quality of speech that need no reference."""
