"""Files of weights: the official ones of GPT-SoVITS v2, read and written without running them, and our own."""
