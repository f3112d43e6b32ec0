"""Metrics for any modality: distances in feature spaces, a classifier, names of metrics."""

__all__: list[str] = []
