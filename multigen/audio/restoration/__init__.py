"""Better sounds from worse ones that were made from them."""

__all__: list[str] = []
