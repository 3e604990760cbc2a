"""Fuzzy logic in context."""
