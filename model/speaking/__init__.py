"""Text to speech in the voice of a reference: s1, s2, the content encoder and the text front end together."""

VERSION = 2
"""Changes when the same text, recordings and options reach the networks, or are joined, in another way: the cutting
into pieces, the references and the content features of recordings, the pauses."""
