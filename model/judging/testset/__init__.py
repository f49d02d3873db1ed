"""Test sets of utterances that no training read, and the speech that voices synthesise for them."""
