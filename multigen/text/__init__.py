"""Texts: what models of them, and what measures them, share."""

__all__: list[str] = []
