"""Discovery: the search writes energies of its own, as formulas, and finds out what they are worth."""
