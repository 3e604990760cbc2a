"""What a model can do without: its residual sub-layers scored, dropped, and the rest measured."""
