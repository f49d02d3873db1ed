"""s1: the prefix language model that turns phones into semantic codes, its sampling, its engines and its loss."""

VERSION = 1
"""Changes when the same weights, prefix and draws give other codes."""
