"""Fundamental frequency (F0) of speech: the trackers behind one interface, on one 10 ms grid."""
