"""Reading and judging what was recorded."""
