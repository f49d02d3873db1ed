"""Settings of training, of the light system and of the promotion gate; the metrics that they name."""
