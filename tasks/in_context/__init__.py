"""Learning in context: regression and classification from the examples of one sequence."""
