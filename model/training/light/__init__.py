"""Training the three networks of the light system."""
