"""Base trainers, samplers and evaluators of each task, for any modality."""

__all__: list[str] = []
