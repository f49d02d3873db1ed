"""Voices as ONNX graphs: every network, float32, float16 or 8 bits, and speaking with ONNX Runtime alone."""
