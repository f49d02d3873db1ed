"""The light system: three small networks that speak in any voice, on two cores at many times real time."""
