"""What training reads: a pinned corpus version as batches of tensors, in an order that can be resumed exactly."""
