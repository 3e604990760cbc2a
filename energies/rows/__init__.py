"""Weights that depend on one row of scores, in blocks and with derivatives in closed form."""
