"""Small aligners that are trained here: word times for languages without a model of their own."""
