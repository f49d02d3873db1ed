"""The light system: three small networks that speak in any voice, on two cores at many times real time."""

VERSION = 1
"""Changes when the same weights, phones and speaker vector give other samples."""
