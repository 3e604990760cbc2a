"""Layers inside other people's models."""
