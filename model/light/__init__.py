"""The light system: three small networks that speak in any voice, many times faster than real time on two cores."""

VERSION = 1
"""Changes when the same weights, phones and speaker vector give other samples."""
