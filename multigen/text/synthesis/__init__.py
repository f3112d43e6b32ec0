"""Texts: one file per method."""

__all__: list[str] = []
