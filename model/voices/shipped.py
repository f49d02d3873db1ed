"""The voice that comes with voicemill: graphs of a light voice in 8 bits; its card stands beside them."""

from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "weights" / "joe"
