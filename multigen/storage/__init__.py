"""What lies on disk: files written whole or not at all, run and model folders, the cache, the hub."""

__all__: list[str] = []
