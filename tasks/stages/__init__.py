"""The stages: one module each, a pure function over records and arrays."""
