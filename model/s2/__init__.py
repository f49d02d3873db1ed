"""s2 of GPT-SoVITS v2: semantic codes, phones and a reference voice to 32 kHz speech, its discriminators and losses."""

VERSION = 1
"""Changes when the same weights, codes, phones, reference and noise give other samples."""
