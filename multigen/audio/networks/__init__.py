"""Networks that the tasks of sounds share."""
