"""`voicemill demo`: synthesises a small corpus and refreshes it three times."""
