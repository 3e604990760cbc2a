"""The energies of all layers while data flows through a model."""
