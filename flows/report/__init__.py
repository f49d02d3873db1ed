"""The HTML report of a corpus version, its plots, and the model card of a voice."""
