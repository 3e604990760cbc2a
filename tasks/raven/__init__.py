"""Symbolic Raven matrices."""
