"""Adaptation of s1 and s2 to a voice with few weights: low-rank adapters or the last layers."""
