"""Which layers run under which modes of PyTorch: checks, and the table of their outcomes.

`python -m attenergy.testing.compatibility docs` (`make modes`) computes the table.
"""
