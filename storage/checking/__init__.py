"""Checking a store for damage, and repairing what can be repaired."""
