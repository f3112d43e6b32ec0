"""A better item from a worse one that was made from it."""

__all__: list[str] = []
