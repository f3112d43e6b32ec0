"""Benchmark recipes: reading, checking, shortening them; their results."""

__all__: list[str] = []
