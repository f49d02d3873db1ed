"""What is kept, and the small things all layers share: units, records, errors, keys, the store's folders."""
