"""Text: tokenizers, data, and what is trained on them."""

__all__: list[str] = []
