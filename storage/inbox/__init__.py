"""The inbox: listing, transcripts, consent, and the arrival of uploads."""
