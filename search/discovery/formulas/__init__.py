"""Formulas that a program writes: candidates, the grammar they come from, random ones, variations."""
