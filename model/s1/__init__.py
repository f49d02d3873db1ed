"""s1: the prefix language model that turns phones into semantic codes, its sampling, its engines and its loss."""
