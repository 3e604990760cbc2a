"""Layers whose update is written by hand."""
