"""Adapting s1 and s2 to a voice with few weights: low-rank adapters, the last layers; saved, merged, switched."""
