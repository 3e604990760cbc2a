"""Attention layers whose update steps come from an energy."""
