"""`python -m multigen.recipes.METHOD [PRESET] [FLAGS]` trains a method, evaluates it and writes a
report."""

__all__: list[str] = []
