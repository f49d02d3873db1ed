"""Voices as ONNX graphs: every network in float32, float16 or 8 bits, and inference with ONNX Runtime alone."""

VERSION = 1
"""Changes when the same weights give other graphs."""
