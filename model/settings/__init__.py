"""Settings of training, of the light system and of the promotion gate, and the metrics that the gate decides by."""
