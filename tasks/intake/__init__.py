"""Which uploads the inbox holds, which of them may be prepared, and how they are grouped into batches."""
