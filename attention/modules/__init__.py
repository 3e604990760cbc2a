"""Projections, positions, normalisation, dropout: what layers and models are put together from."""
