"""Storage: atomic file writes, run and model folders, the cache, the Hugging Face hub."""

__all__: list[str] = []
