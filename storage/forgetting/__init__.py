"""Erasing a speaker from everything that a store holds."""
