"""Audio: a method a file; sounds, data and metrics that they share."""

__all__: list[str] = []
