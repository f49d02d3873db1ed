"""Content encoders: waves of 16 kHz to phonetic features at 50 Hz, by name (`voicemill.model.content.names`)."""
