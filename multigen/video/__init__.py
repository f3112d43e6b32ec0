"""Films: video files, animations and numbered frames, through the models of the image modality."""

__all__: list[str] = []
