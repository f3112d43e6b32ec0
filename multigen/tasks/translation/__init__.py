"""The same item in another domain."""

__all__: list[str] = []
