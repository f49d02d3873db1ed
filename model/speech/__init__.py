"""Speech models: recognition (Whisper) and forced alignment (CTC, pocketsphinx)."""
