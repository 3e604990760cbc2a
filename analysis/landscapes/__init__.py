"""Landscapes of energies: surfaces, minima, basins, bifurcations, weights against a score."""
