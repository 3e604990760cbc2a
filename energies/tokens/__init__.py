"""Energies of tokens that interact with each other."""
