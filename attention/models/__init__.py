"""Transformers and language models around the layers."""
