"""Audio: reading and writing sounds, their spectra, and what D sees of them in small data sets."""

__all__: list[str] = []
