"""Spin systems: Ising, Potts, vector and spherical spins."""
