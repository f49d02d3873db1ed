"""Speech models: recognition (Whisper), forced alignment (CTC, pocketsphinx), content features (HuBERT)."""
