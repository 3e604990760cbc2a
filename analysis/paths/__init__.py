"""Attention paths: what flows through which heads, how it fits the task, and what can be cut."""
