"""Storage: tables, inbox and voices of a store, and the ground of all layers: units, records, errors, keys, files."""
