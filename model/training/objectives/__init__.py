"""Training objectives of s1 and s2: networks, losses and optimisers behind one interface."""
