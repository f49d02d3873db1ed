"""What a stage is: its settings, its inputs, the waveform it reads, and how it reports a failure."""
