"""Formal languages, groups and arithmetic."""
