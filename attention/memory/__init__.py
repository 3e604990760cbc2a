"""Associative memories: storing patterns and recalling them."""
