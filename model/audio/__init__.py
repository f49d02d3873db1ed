"""Signal processing: mel and spectral measures, loudness, voice activity, noise gate, resampling, watermark."""
