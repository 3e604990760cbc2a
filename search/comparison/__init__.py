"""Fixed variants over the same seeds, on one task or several."""
