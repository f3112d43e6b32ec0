"""Data sets of any kind: places, folders, splits, clusters, inspection."""

__all__: list[str] = []
