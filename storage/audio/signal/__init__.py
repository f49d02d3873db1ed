"""What the samples of an upload hold, and what is done to them before any stage measures them."""
