"""Mixtures, restricted Boltzmann machines and their partition functions."""
