"""s2 of GPT-SoVITS v2: semantic codes, phones and a reference voice to 32 kHz speech, its discriminators and losses."""
