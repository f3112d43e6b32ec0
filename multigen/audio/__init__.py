"""Sounds: files, data, a drum machine, spectra, metrics, and the methods that make them, a file a method."""

__all__: list[str] = []
