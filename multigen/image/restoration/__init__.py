"""Better images from worse ones: one file per method."""

__all__: list[str] = []
