"""Budgets in minutes: a clock, the pace of runs, what fits, and what was done with the time."""
