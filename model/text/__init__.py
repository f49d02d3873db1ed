"""Text to phones: Chinese, English, both in one sentence, and other languages through extras; BERT features."""
