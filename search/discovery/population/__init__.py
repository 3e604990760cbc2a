"""Formulas that have been evaluated, and which come next."""
