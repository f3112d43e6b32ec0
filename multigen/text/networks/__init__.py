"""Networks for texts: generators and discriminators."""

__all__: list[str] = []
