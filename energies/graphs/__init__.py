"""Energies of patterns that interact along the edges of a graph."""
