"""Publishing a corpus version, and the circuit breaker that stops a publish."""
