"""The HTML report of a corpus version, the model card of an entry, and the tables and pages they are made of."""
