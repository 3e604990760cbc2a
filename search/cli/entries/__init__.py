"""Commands that look at the entries of the registry: list, show, check, plot, sample."""
