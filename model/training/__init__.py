"""Training s1 and s2 from a corpus version: objectives, the loop, checkpoints, adaptation."""
