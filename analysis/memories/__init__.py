"""How much an associative memory holds."""
