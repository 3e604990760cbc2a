"""Discovery: the search writes energies of its own, and finds out what they are worth."""
