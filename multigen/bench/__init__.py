"""Benchmark recipes: reading, checking and shortening them; their results."""

__all__: list[str] = []
