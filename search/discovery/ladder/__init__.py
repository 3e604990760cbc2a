"""Rungs on which a formula is evaluated, each dearer than the last."""
