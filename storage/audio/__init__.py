"""Reading audio files of any format, block by block."""
