"""Oscillators and noisy series."""
