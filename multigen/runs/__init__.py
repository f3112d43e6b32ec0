"""A run, from its command line to what people read of it: options, runner, record, log, card, report, comparison."""

__all__: list[str] = []
