"""Channels, offset, level and clipping of the samples of an upload, before any stage measures them."""
