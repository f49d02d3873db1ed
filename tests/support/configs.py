"""Configs of refreshes for tests that are not about the models: the shipped `plain` one, and a test's own settings."""

import tomllib

from voicemill.tasks.config import SHIPPED


def plain(text: str = "") -> str:
    """TOML of `text` with those sections of the config `plain` that it lacks."""
    own = tomllib.loads(text)
    parts = (SHIPPED / "plain.toml").read_text("utf-8").split("\n\n")[1:]
    return "\n".join([text, *(part for part in parts if next(iter(tomllib.loads(part))) not in own)])
