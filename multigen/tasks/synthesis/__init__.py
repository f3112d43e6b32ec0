"""New items from noise or a prompt: the base trainer, the sampler and the evaluator of all
modalities."""

__all__: list[str] = []
