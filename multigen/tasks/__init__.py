"""What a task's methods share, whatever the modality."""

__all__: list[str] = []
