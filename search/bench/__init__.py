"""A bench of search policies: tables of real learning curves, and searches replayed on them."""
