"""Sounds from noise: one file per method."""

__all__: list[str] = []
