"""Saving layers and models, and loading them again."""
