"""Text to speech in the voice of a reference: s1, s2, the content encoder and the text front end put together."""
