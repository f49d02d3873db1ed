"""Files of weights: official ones of GPT-SoVITS v2, read and written without running code in them, and our own."""
