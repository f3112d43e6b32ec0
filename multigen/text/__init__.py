"""Text: generators of sequences, trained by likelihood and by policy gradient, and what their texts are worth."""

__all__: list[str] = []
