"""Scores of any kind of sample: distances in feature spaces, a classifier, the names of metrics."""

__all__: list[str] = []
