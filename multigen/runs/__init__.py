"""Runs, from the command line to the results: options, runner, records, log, model card, report,
comparison."""

__all__: list[str] = []
