"""The latent code of attention: what the heads together say of a pair of positions."""
