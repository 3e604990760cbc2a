"""Tasks made of data that a user brings, and of a few real sets."""
