"""Opening any kind of voice: checkpoints, the light system, or a folder of ONNX graphs."""
