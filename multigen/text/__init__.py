"""Text: a method a file; data, vocabularies and measures that they share."""

__all__: list[str] = []
