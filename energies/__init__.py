"""Scalar energies E(xi; X, h)."""
