"""Blind A/B listening tests in the browser, served on loopback."""
