"""Recall of what stood earlier in a sequence."""
