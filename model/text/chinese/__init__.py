"""Chinese text to the phones of GPT-SoVITS v2: normalisation, readings, tone sandhi."""
