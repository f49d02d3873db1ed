"""English text to ARPAbet phones: normalisation, dictionary, homographs, letter-to-sound rules."""
